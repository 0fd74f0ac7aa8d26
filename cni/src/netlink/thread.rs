//! The thread that works on namespaces, apart from those that wait for servers: entering a namespace is for one thread,
//! and for good.

use std::sync::mpsc;

use tokio::sync::oneshot;

use super::namespace::Namespace;
use super::rtnetlink::Kernel;
use super::{Netlink, NetlinkError};
use crate::protocol::error::{CniError, Code, Result};

/// What is done on the thread: with the plugin's namespace, and with the container's where there is one.
pub(crate) type Task<T> = Box<
    dyn FnOnce(&mut dyn Netlink, Option<&mut dyn Netlink>) -> std::result::Result<T, NetlinkError> + Send,
>;

type Job = Box<dyn FnOnce(&mut Kernels) + Send>;

struct Kernels {
    host: Kernel,
    container: Option<Kernel>,
}

/// The thread. It ends when this is dropped.
pub(crate) struct NetworkThread {
    jobs: mpsc::Sender<Job>,
}

impl NetworkThread {
    /// Starts it, for a container's namespace or for the host's alone. Opening sockets goes on meanwhile.
    pub(crate) fn start(container: Option<&Namespace>) -> Result<NetworkThread> {
        let failed = |error: std::io::Error| {
            CniError::new(Code::Netlink, "no thread for the network").details(error.to_string())
        };
        let container = container.map(Namespace::try_clone).transpose().map_err(failed)?;
        let (jobs, todo) = mpsc::channel::<Job>();
        let work = move || {
            let opened = open(container);
            match opened {
                Ok(mut kernels) => todo.iter().for_each(|job| job(&mut kernels)),
                // Whoever waits for a job that is dropped is told so; why goes to the log.
                Err(error) => tracing::error!(%error, "the namespaces can't be worked on"),
            }
        };
        std::thread::Builder::new().name("network".to_owned()).spawn(work).map_err(failed)?;
        Ok(NetworkThread { jobs })
    }

    /// Hands a task over; what it answers comes when it is done, whether anybody waits or not.
    pub(crate) fn run<T: Send + 'static>(&self, task: Task<T>) -> impl Future<Output = Result<T>> + use<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |kernels| {
            let container = kernels.container.as_mut().map(|kernel| kernel as &mut dyn Netlink);
            // Nobody may be waiting any more.
            let _ = answer.send(task(&mut kernels.host, container));
        });
        let sent = self.jobs.send(job).is_ok();
        async move {
            let ended = || {
                CniError::new(Code::Netlink, "the network namespace can't be entered")
                    .details("the log says why")
            };
            if !sent {
                return Err(ended());
            }
            answered.await.map_err(|_| ended())?.map_err(CniError::from)
        }
    }
}

fn open(container: Option<Namespace>) -> std::io::Result<Kernels> {
    let own = Namespace::own()?;
    let host = Kernel::open(own.try_clone()?, &own)?;
    let container = container.map(|namespace| Kernel::open(namespace, &own)).transpose()?;
    Ok(Kernels { host, container })
}
