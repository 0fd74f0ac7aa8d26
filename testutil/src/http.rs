//! A minimal HTTP client for measurements and for tests that kill servers: one connection, one request after another.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection that stays open.
pub struct Connection(BufReader<TcpStream>);

/// A response.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Location` header; empty without one.
    pub location: String,
    /// The whole body.
    pub body: String,
}

impl Connection {
    /// Connects to a server.
    ///
    /// # Errors
    /// When nothing listens on the address.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Sends a request; `kind` is the media type of its body, or of a GET's response.
    ///
    /// # Errors
    /// When the connection ends before the response is complete.
    pub fn send(&mut self, method: &str, path: &str, kind: &str, body: &str) -> io::Result<Answer> {
        let header = if method == "GET" { "Accept" } else { "Content-Type" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: here\r\n{header}: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(ended)?;
        let (mut length, mut chunked, mut location) = (0, false, String::new());
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(ended());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "transfer-encoding" => chunked = true,
                "location" => location = value.to_owned(),
                _ => {}
            }
        }
        let mut body = Vec::new();
        loop {
            if chunked {
                let mut line = String::new();
                self.0.read_line(&mut line)?;
                length = usize::from_str_radix(line.trim_end(), 16).map_err(|_| ended())? + 2;
            }
            let start = body.len();
            body.resize(start + length, 0);
            self.0.read_exact(&mut body[start..])?;
            if chunked {
                body.truncate(body.len() - 2);
            }
            if !chunked || length == 2 {
                let body = String::from_utf8(body).unwrap();
                return Ok(Answer { status, location, body });
            }
        }
    }
}
