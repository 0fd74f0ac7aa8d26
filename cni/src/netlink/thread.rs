//! The thread that works in network namespaces.
//!
//! It is a thread of its own for two reasons. A thread enters a namespace as a whole and stays there. And the kernel does
//! the work of a request within the system call, so that to remove a veth pair would hold up the calls of the API.

use std::rc::Rc;
use std::sync::mpsc;

use tokio::sync::oneshot;

use super::namespace::Namespace;
use super::rtnetlink::Kernel;
use super::{Netlink, NetlinkError};
use crate::protocol::error::{CniError, Code, Result};

/// Work for the thread, in the plugin's namespace and in the container's, if there is one.
pub(crate) type Task<T> = Box<
    dyn FnOnce(&mut dyn Netlink, Option<&mut dyn Netlink>) -> std::result::Result<T, NetlinkError> + Send,
>;

type Job = Box<dyn FnOnce(&mut Kernels) + Send>;

struct Kernels {
    host: Kernel,
    container: Option<Kernel>,
}

/// A running thread. It ends when this is dropped.
pub(crate) struct NetworkThread {
    jobs: mpsc::Sender<Job>,
}

impl NetworkThread {
    /// Starts the thread for the host's namespace, and for the container's if there is one. Returns before the sockets are
    /// open.
    pub(crate) fn start(container: Option<&Namespace>) -> Result<NetworkThread> {
        let failed = |error: std::io::Error| {
            CniError::new(Code::Netlink, "the thread for the network can't be started").caused_by(error)
        };
        let container = container.map(Namespace::try_clone).transpose().map_err(failed)?;
        let (jobs, todo) = mpsc::channel::<Job>();
        let work = move || {
            let opened = open(container);
            match opened {
                Ok(mut kernels) => todo.iter().for_each(|job| job(&mut kernels)),
                // Each waiting job gets an error, which refers to the log.
                Err(error) => tracing::error!(%error, "the network namespaces can't be opened"),
            }
        };
        std::thread::Builder::new().name("network".to_owned()).spawn(work).map_err(failed)?;
        Ok(NetworkThread { jobs })
    }

    /// Hands over a task, and returns a future of its result. The task runs even if nobody waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, task: Task<T>) -> impl Future<Output = Result<T>> + use<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |kernels| {
            let container = kernels.container.as_mut().map(|kernel| kernel as &mut dyn Netlink);
            // The run may no longer wait for the result.
            let _ = answer.send(task(&mut kernels.host, container));
        });
        let sent = self.jobs.send(job).is_ok();
        async move {
            let ended = || {
                CniError::new(Code::Netlink, "the network namespace can't be entered")
                    .hint("the log has the reason")
            };
            if !sent {
                return Err(ended());
            }
            answered.await.map_err(|_| ended())?.map_err(CniError::from)
        }
    }

    /// Does the same with a task that needs the container's namespace.
    pub(crate) fn run_in_container<T, F>(&self, task: F) -> impl Future<Output = Result<T>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Netlink, &mut dyn Netlink) -> std::result::Result<T, NetlinkError>,
        F: Send + 'static,
    {
        self.run(Box::new(move |host, container| match container {
            Some(container) => task(host, container),
            None => Err(NetlinkError::Conflict("the container has no network namespace".to_owned())),
        }))
    }
}

fn open(container: Option<Namespace>) -> std::io::Result<Kernels> {
    let runtime = Rc::new(tokio::runtime::Builder::new_current_thread().enable_io().build()?);
    let own = Namespace::own()?;
    let host = Kernel::open(runtime.clone(), own.try_clone()?, &own)?;
    let container = container.map(|namespace| Kernel::open(runtime, namespace, &own)).transpose()?;
    Ok(Kernels { host, container })
}
