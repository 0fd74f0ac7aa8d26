//! Stores on real etcd servers, and a proxy before one that can be cut.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use midoform_store::backends::etcd::{Etcd, Settings};
use midoform_store::{Range, SharedStore};
use midoform_testutil::etcd::Cluster;

/// Returns a store with all members of a cluster.
pub(crate) async fn store_of(cluster: &Cluster, prefix: &str) -> SharedStore {
    let store = store_at(cluster.endpoints(), prefix, Duration::from_secs(5)).await;
    store.read(&[Range::key("x")]).await.unwrap();
    store
}

/// A proxy that can be cut: connections end, and new ones are refused.
pub(crate) struct Proxy {
    port: u16,
    to: u16,
    running: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Proxy {
    pub(crate) fn start(to: u16) -> Proxy {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let proxy = Proxy { port, to, running: Mutex::default() };
        proxy.mend();
        proxy
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn cut(&self) {
        if let Some(running) = self.running.lock().unwrap().take() {
            running.abort();
        }
    }

    pub(crate) fn mend(&self) {
        let (port, to) = (self.port, self.to);
        let run = async move {
            let listener = loop {
                match tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            };
            // The connections end with this task.
            let mut open = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                open.spawn(async move {
                    let Ok(mut far) = tokio::net::TcpStream::connect(("127.0.0.1", to)).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        };
        *self.running.lock().unwrap() = Some(tokio::spawn(run));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Returns a store at these endpoints; the first call connects.
pub(crate) async fn store_at(endpoints: Vec<String>, prefix: &str, timeout: Duration) -> SharedStore {
    let settings = Settings { endpoints, login: None, prefix: prefix.to_owned(), timeout };
    Arc::new(Etcd::open(settings).await.unwrap())
}
