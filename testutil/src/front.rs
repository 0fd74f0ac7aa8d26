//! A server in front of an API that misbehaves as a test wants: a proxy, a portal, a wrong path, another server.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The method.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The whole head, as it was sent.
    pub head: String,
    /// The body.
    pub body: String,
}

/// What the front does with a request.
pub enum Reaction {
    /// It passes the request to the API.
    Pass,
    /// It sends these bytes, a whole response, and closes the connection.
    Send(Vec<u8>),
    /// It sends this head, and then a body without an end.
    Endless(String),
}

/// Returns a response with a body of this content type. An empty content type is none.
pub fn response(status: &str, content_type: &str, more: &str, body: impl AsRef<[u8]>) -> Reaction {
    let body = body.as_ref();
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    if !content_type.is_empty() {
        head += &format!("Content-Type: {content_type}\r\n");
    }
    Reaction::Send([format!("{head}{more}\r\n").as_bytes(), body].concat())
}

type Rule = dyn Fn(&Arrived) -> Reaction + Send + Sync;

/// A server in front of an API. It runs until the process ends.
pub struct Front {
    /// Its address.
    pub address: SocketAddr,
    rule: Arc<Mutex<Arc<Rule>>>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Front {
    /// Starts a front of the API at this address. It passes everything.
    pub fn start(api: SocketAddr) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let passes: Arc<Rule> = Arc::new(|_: &Arrived| Reaction::Pass);
        let (rule, arrived) = (Arc::new(Mutex::new(passes)), Arc::<Mutex<Vec<Arrived>>>::default());
        let front = Front { address, rule: rule.clone(), arrived: arrived.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (rule, arrived) = (rule.clone(), arrived.clone());
                std::thread::spawn(move || {
                    // A client may close its connection at any time.
                    let _ = serve(stream, api, &rule, &arrived);
                });
            }
        });
        front
    }

    /// Returns the base URL of the API behind it.
    pub fn url(&self) -> String {
        format!("http://{}/midonet-api", self.address)
    }

    /// From now on, it reacts in this way.
    pub fn set(&self, rule: impl Fn(&Arrived) -> Reaction + Send + Sync + 'static) {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rule);
    }

    /// Returns the requests since the last time.
    pub fn take_arrived(&self) -> Vec<Arrived> {
        std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serve(
    stream: TcpStream,
    api: SocketAddr,
    rule: &Mutex<Arc<Rule>>,
    all: &Mutex<Vec<Arrived>>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line.trim_end().is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if !lower.starts_with("connection:") {
            head += &line;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let body = String::from_utf8_lossy(&body).into_owned();
    let arrived = Arrived { method: method.to_owned(), path: path.to_owned(), head: head.clone(), body };
    all.lock().unwrap_or_else(PoisonError::into_inner).push(arrived.clone());
    let rule = rule.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let out = reader.get_mut();
    match rule(&arrived) {
        Reaction::Send(bytes) => out.write_all(&bytes),
        Reaction::Endless(head) => {
            out.write_all(head.as_bytes())?;
            let part = vec![b' '; 1 << 16];
            loop {
                out.write_all(&part)?;
            }
        }
        Reaction::Pass => {
            let mut behind = TcpStream::connect(api)?;
            behind.write_all(format!("{head}Connection: close\r\n\r\n{}", arrived.body).as_bytes())?;
            io::copy(&mut behind, out).map(drop)
        }
    }
}
