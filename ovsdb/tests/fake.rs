//! A server of the test's own, whose script says how it misbehaves.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use midoform_ovsdb::{Decoder, Limits};
use serde_json::{Value as Json, json};

use crate::support::{DATABASE, schema};

/// A listening server. It runs until the process ends.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
}

/// The server's end of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    decoder: Decoder,
}

/// A request or a notification of the client.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: Json,
    pub(crate) method: String,
    pub(crate) parameters: Json,
}

impl Fake {
    /// Starts a server that runs the script for each connection; the script gets the connection's number from 0 on.
    pub(crate) fn start(script: impl Fn(usize, &mut Peer) -> io::Result<()> + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let script = script.clone();
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                    let mut peer = Peer { stream, decoder: Decoder::new(Limits::default()) };
                    // A client may close its connection at any time.
                    let _ = script(number, &mut peer);
                });
            }
        });
        Fake { address }
    }

    /// Returns its remote.
    pub(crate) fn remote(&self) -> String {
        format!("tcp:{}", self.address)
    }
}

impl Peer {
    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Waits for the next request or notification.
    pub(crate) fn next(&mut self) -> io::Result<Request> {
        let message = self.message()?;
        let member = |name: &str| message.get(name).cloned().unwrap_or_default();
        let method = member("method").as_str().unwrap_or_default().to_owned();
        Ok(Request { id: member("id"), method, parameters: member("params") })
    }

    /// Waits for the next message.
    pub(crate) fn message(&mut self) -> io::Result<Json> {
        let mut part = [0; 4096];
        loop {
            if let Some((message, _)) = self.decoder.next_message().map_err(io::Error::other)? {
                return Ok(Json::Object(message));
            }
            match self.stream.read(&mut part)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.decoder.push(&part[..length]),
            }
        }
    }

    /// Waits for a request of this method; answers echoes before it.
    pub(crate) fn expect(&mut self, method: &str) -> io::Result<Request> {
        loop {
            let request = self.next()?;
            if request.method == method {
                return Ok(request);
            }
            match request.method.as_str() {
                "echo" => self.reply(&request, request.parameters.clone())?,
                "get_schema" => self.reply(&request, schema())?,
                other => return Err(io::Error::other(format!("{other} came, not {method}"))),
            }
        }
    }

    /// Replies to a request.
    pub(crate) fn reply(&mut self, request: &Request, result: Json) -> io::Result<()> {
        self.send(json!({ "id": request.id, "result": result, "error": null }).to_string())
    }

    /// Refuses a request.
    pub(crate) fn refuse(&mut self, request: &Request, error: &str) -> io::Result<()> {
        self.send(json!({ "id": request.id, "result": null, "error": { "error": error } }).to_string())
    }

    /// Sends a notification.
    pub(crate) fn notify(&mut self, method: &str, parameters: &Json) -> io::Result<()> {
        self.send(json!({ "id": null, "method": method, "params": parameters }).to_string())
    }

    /// Answers what a client asks when it connects: a standalone server.
    pub(crate) fn welcome(&mut self) -> io::Result<()> {
        self.welcome_as(&json!({ "model": "standalone", "connected": true, "leader": true })).map(drop)
    }

    /// Answers what a client asks when it connects, with this row of the table `Database`. Returns the monitor's id.
    pub(crate) fn welcome_as(&mut self, row: &Json) -> io::Result<Json> {
        let request = self.expect("set_db_change_aware")?;
        self.reply(&request, json!({}))?;
        let request = self.expect("monitor")?;
        assert_eq!(request.parameters[0], "_Server");
        self.reply(&request, database_rows(row))?;
        Ok(request.parameters[1].clone())
    }
}

/// Returns the rows of the table `Database` for a monitor.
pub(crate) fn database_rows(row: &Json) -> Json {
    let mut row = row.clone();
    row["name"] = json!(DATABASE);
    json!({ "Database": { "11111111-1111-4111-8111-111111111111": { "new": row } } })
}
