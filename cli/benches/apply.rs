//! The speed of an apply with a slow API, and with a fast one.
//!
//! `cargo bench -p midoform --bench apply`. The slow API is the embedded one behind a proxy that lets a write take 13 ms,
//! one after the other, and a read 4 ms, as the real one was measured on a busy machine (the recordings' notes, 13).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark prints, and one that can't go on has failed"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const MIDOFORM: &str = env!("CARGO_BIN_EXE_midoform");
const WRITE: Duration = Duration::from_millis(13);
const READ: Duration = Duration::from_millis(4);

struct Served {
    child: Child,
    address: SocketAddr,
    _stderr: BufReader<ChildStderr>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve() -> Served {
    let mut command = Command::new(MIDOFORM);
    let mut child =
        command.args(["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let address = line.split("://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    Served { child, address, _stderr: stderr }
}

/// A proxy that takes its time. It ends with the process.
struct Slow {
    address: SocketAddr,
    /// The reads that came, whole.
    reads: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Slow {
    fn start(upstream: SocketAddr) -> Slow {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (writing, reads) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&reads);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (writing, seen) = (Arc::clone(&writing), Arc::clone(&seen));
                std::thread::spawn(move || pass(&client, upstream, &writing, &seen));
            }
        });
        Slow { address, reads }
    }

    /// Measures the reads alone, eight at a time, without using their responses.
    fn replay(&self) -> Duration {
        let reads = std::mem::take(&mut *self.reads.lock().unwrap());
        let next = std::sync::atomic::AtomicUsize::new(0);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let stream = TcpStream::connect(self.address).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut answers = BufReader::new(stream.try_clone().unwrap());
                    while let Some(read) = reads.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                    {
                        (&stream).write_all(read).unwrap();
                        message(&mut answers).unwrap();
                    }
                });
            }
        });
        let took = started.elapsed();
        self.reads.lock().unwrap().clear();
        took
    }
}

/// Reads one message: its head and as much body as it says; nothing at the end.
fn message(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    let (mut length, mut chunked) = (0, false);
    loop {
        let start = whole.len();
        if stream.read_until(b'\n', &mut whole).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&whole[start..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        chunked |= line.starts_with("transfer-encoding: chunked");
        if line == "\r\n" {
            break;
        }
    }
    loop {
        if chunked {
            let start = whole.len();
            stream.read_until(b'\n', &mut whole).ok()?;
            let size = String::from_utf8_lossy(&whole[start..]).trim().to_owned();
            length = usize::from_str_radix(&size, 16).unwrap() + 2;
        }
        let start = whole.len();
        whole.resize(start + length, 0);
        stream.read_exact(&mut whole[start..]).ok()?;
        if !chunked || length == 2 {
            return Some(whole);
        }
    }
}

fn pass(client: &TcpStream, upstream: SocketAddr, writing: &Mutex<()>, reads: &Mutex<Vec<Vec<u8>>>) {
    client.set_nodelay(true).unwrap();
    let server = TcpStream::connect(upstream).unwrap();
    server.set_nodelay(true).unwrap();
    let mut from_client = BufReader::new(client.try_clone().unwrap());
    let mut from_server = BufReader::new(server.try_clone().unwrap());
    while let Some(request) = message(&mut from_client) {
        let is_read = request.starts_with(b"GET");
        if is_read {
            reads.lock().unwrap().push(request.clone());
        }
        let guard = (!is_read).then(|| writing.lock().unwrap());
        std::thread::sleep(if guard.is_some() { WRITE } else { READ });
        (&server).write_all(&request).unwrap();
        let Some(answer) = message(&mut from_server) else { return };
        drop(guard);
        if (&*client).write_all(&answer).is_err() {
            return;
        }
    }
}

/// Makes a fleet of tenants with two bridges and two rules each.
fn fleet(folder: &Path, tenants: usize, address: SocketAddr) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder.join("tenants")).unwrap();
    let site = format!(
        "name = \"f\"\n[midonet]\nurl = \"http://{address}/midonet-api\"\nversion = 5\nmanaged = true\n[pools]\nlinks = \
         \"172.16.0.0/12\"\nbridges = \"10.0.0.0/8\"\n"
    );
    fs::write(folder.join("site.toml"), site).unwrap();
    let text = "[[bridge]]\nname = \"web\"\n[[bridge]]\nname = \"db\"\n[[rule]]\nname = \"open\"\nfrom = { bridge = \"web\" }\n\
                to = { bridge = \"db\", tcp = 5432 }\naction = \"accept\"\n[[rule]]\nname = \"shut\"\nto = { bridge = \"db\" }\naction = \"drop\"\n";
    for number in 0..tenants {
        let name = format!("tenant-{number:05}");
        fs::write(folder.join("tenants").join(format!("{name}.toml")), format!("name = \"{name}\"\n{text}"))
            .unwrap();
    }
}

struct Run {
    calls: f64,
    took: Duration,
    megabytes: u64,
}

fn apply(folder: &Path) -> Run {
    let started = Instant::now();
    let mut command = Command::new("/usr/bin/env");
    command.args([
        "sh",
        "-c",
        "\"$0\" apply \"$1\" --yes --json --quiet --parallel 8 & wait $!; code=$?; exit $code",
        MIDOFORM,
    ]);
    let mut child =
        command.arg(folder.join("tenants")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut highest = 0;
    let mut out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    while child.try_wait().unwrap().is_none() {
        let list = format!("/proc/{0}/task/{0}/children", child.id());
        for id in fs::read_to_string(list).unwrap_or_default().split_whitespace() {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("VmHWM:"));
            let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
            highest = highest.max(kilobytes.unwrap_or(0));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = started.elapsed();
    let text = reader.join().unwrap();
    assert!(text.contains("\"converged\": true"), "{text}");
    let calls = text.lines().find_map(|line| line.trim().strip_prefix("\"calls\": ")).unwrap();
    Run { calls: calls.trim_end_matches(',').parse().unwrap(), took, megabytes: highest / 1000 }
}

fn main() {
    // `cargo test --benches` runs it with an argument of its own: then it only has to work.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("midoform-bench-apply-{}", std::process::id()));
    println!("against an API with 13 ms a write, one after the other, and 4 ms a read:");
    {
        let served = serve();
        fleet(&folder, 100, Slow::start(served.address).address);
        let first = apply(&folder);
        let writes = (first.calls - 7.0) * WRITE.as_secs_f64();
        let share = first.took.as_secs_f64() / writes;
        println!(
            "  100 new tenants: {} calls, {:.1} s, {share:.2} times the time of the writes alone (goal 1.1)",
            first.calls,
            first.took.as_secs_f64()
        );
    }
    {
        let served = serve();
        fleet(&folder, 1000, served.address);
        let _ = apply(&folder);
        let site = fs::read_to_string(folder.join("site.toml")).unwrap();
        let slow = Slow::start(served.address);
        let behind = site.replace(&served.address.to_string(), &slow.address.to_string());
        fs::write(folder.join("site.toml"), behind).unwrap();
        let mut shares: Vec<(f64, f64, f64, f64)> = (0..5)
            .map(|_| {
                let again = apply(&folder);
                let (took, alone) = (again.took.as_secs_f64(), slow.replay().as_secs_f64());
                (took / alone, took, alone, again.calls)
            })
            .collect();
        shares.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (share, took, alone, calls) = shares[2];
        println!(
            "  1,000 tenants, nothing to do: {calls} reads, {took:.2} s, {share:.2} times the time of the same reads alone, \
             eight at a time ({alone:.2} s; goal 1.2); with no more than 4 ms each they would take {:.2} s",
            calls * READ.as_secs_f64() / 8.0
        );
    }
    println!(
        "against one without latency (goals: 2,000 objects a second, linear; 10,000 tenants in 1,000 MB):"
    );
    for tenants in [100, 1_000, 3_000, 10_000] {
        let served = serve();
        fleet(&folder, tenants, served.address);
        let first = apply(&folder);
        let again = apply(&folder);
        println!(
            "  {tenants:>6} tenants: {:>7} calls, {:>5.2} s, {:>6.0} a second, {:>4} MB; nothing to do: {:>5.2} s, {:>4} MB",
            first.calls,
            first.took.as_secs_f64(),
            first.calls / first.took.as_secs_f64(),
            first.megabytes,
            again.took.as_secs_f64(),
            again.megabytes
        );
    }
    let _ = fs::remove_dir_all(&folder);
}
