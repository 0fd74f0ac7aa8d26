//! Serves the API of one MidoNet version until Ctrl-C: `serve VERSION LISTEN [STATE_DIR]`.
//!
//! Registers host 11111111-2222-3333-4444-555555555555 as "node1", as on the recorded servers.

use std::error::Error;

use midoform_simulator::{Options, start};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options::default();
    if let Some(version) = arguments.next() {
        options.version = version.parse()?;
    }
    if let Some(listen) = arguments.next() {
        options.listen = listen.parse()?;
    }
    options.state_dir = arguments.next().map(Into::into);
    options.hosts = vec![("11111111-2222-3333-4444-555555555555".parse()?, "node1".to_owned())];
    let server = start(options).await?;
    #[expect(clippy::print_stdout, reason = "the URL is the program's output")]
    {
        println!("{}", server.base_url());
    }
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
