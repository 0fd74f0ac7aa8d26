//! Serves one version until it is told to stop: `serve VERSION LISTEN [STATE_DIR]`.
//!
//! Registers host 11111111-2222-3333-4444-555555555555 as "node1", as the recorded servers had it.

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
    options.hosts = vec!["11111111-2222-3333-4444-555555555555=node1"]
        .into_iter()
        .filter_map(|host| host.split_once('='))
        .map(|(id, name)| Ok((id.parse()?, name.to_owned())))
        .collect::<Result<_, Box<dyn Error>>>()?;
    let server = start(options).await?;
    #[expect(clippy::print_stdout, reason = "the only thing that this program has to say")]
    {
        println!("{}", server.base_url());
    }
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
