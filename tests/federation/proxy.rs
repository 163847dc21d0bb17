//! A proxy that understands just enough HTTP to spoil it: whole requests, whole answers.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It passes.
    Pass,
    /// The connection is closed at once: nobody is there.
    Cut,
    /// It is taken, and nothing comes back.
    Stall,
    /// It passes, and its answer is lost.
    LoseAnswer,
    /// It arrives twice; the second answer comes back.
    Twice,
    /// Half of it arrives, and the connection is reset.
    Half,
}

/// Longer than any test: a connection that stalls is let go when the proxy ends.
const PATIENCE: Duration = Duration::from_secs(120);

/// The proxy; it ends when it goes out of scope.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    mode: Mutex<Mode>,
    ended: AtomicBool,
    posts: AtomicU64,
    spoiled: AtomicU64,
}

impl Proxy {
    /// A proxy on a port of its own before `to`.
    pub fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            to,
            mode: Mutex::new(Mode::Pass),
            ended: AtomicBool::new(false),
            posts: AtomicU64::new(0),
            spoiled: AtomicU64::new(0),
        });
        let own = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if own.ended.load(SeqCst) {
                    return;
                }
                let own = Arc::clone(&own);
                std::thread::spawn(move || _ = own.serve(connection));
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().expect("no panic") = mode;
    }

    /// Posts that came so far.
    pub fn posts(&self) -> u64 {
        self.shared.posts.load(SeqCst)
    }

    /// Requests that were spoiled so far.
    pub fn spoiled(&self) -> u64 {
        self.shared.spoiled.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        // Wakes the loop; that nobody listens any more is fine.
        _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn mode(&self, head: &str) -> Mode {
        let mode = *self.mode.lock().expect("no panic");
        // Who asks for the status sees a link that is down, and nothing else.
        let spared = !head.starts_with("POST") && !matches!(mode, Mode::Cut | Mode::Stall);
        if spared { Mode::Pass } else { mode }
    }

    fn serve(&self, connection: TcpStream) -> io::Result<()> {
        connection.set_read_timeout(Some(PATIENCE))?;
        let mut back = connection.try_clone()?;
        let mut from = BufReader::new(connection);
        loop {
            let Some((head, body)) = read_message(&mut from)? else { return Ok(()) };
            let mode = self.mode(&head);
            if head.starts_with("POST") {
                self.posts.fetch_add(1, SeqCst);
            }
            if mode != Mode::Pass {
                self.spoiled.fetch_add(1, SeqCst);
            }
            match mode {
                Mode::Pass => back.write_all(&self.ask(&head, &body)?)?,
                Mode::Cut => return Ok(()),
                Mode::Stall => self.wait_for_another_mode(),
                Mode::LoseAnswer => {
                    self.ask(&head, &body)?;
                    return Ok(());
                }
                Mode::Twice => {
                    self.ask(&head, &body)?;
                    back.write_all(&self.ask(&head, &body)?)?;
                }
                Mode::Half => {
                    let mut to = TcpStream::connect(self.to)?;
                    to.write_all(head.as_bytes())?;
                    to.write_all(&body[..body.len() / 2])?;
                    return Ok(());
                }
            }
        }
    }

    fn wait_for_another_mode(&self) {
        while *self.mode.lock().expect("no panic") == Mode::Stall && !self.ended.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The whole answer to a request.
    fn ask(&self, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut to = TcpStream::connect(self.to)?;
        to.set_read_timeout(Some(PATIENCE))?;
        to.write_all(head.as_bytes())?;
        to.write_all(body)?;
        let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (head, body) = read_message(&mut BufReader::new(to))?.ok_or_else(ended)?;
        let mut answer = head.into_bytes();
        answer.extend_from_slice(&body);
        Ok(answer)
    }
}

/// Reads a head and the body that its content-length announces; `None` at the end.
fn read_message(from: &mut impl BufRead) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut head = String::new();
    loop {
        let read = from.read_line(&mut head)?;
        if read == 0 {
            return Ok(None);
        }
        if head.ends_with("\r\n\r\n") {
            break;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    from.read_exact(&mut body)?;
    Ok(Some((head, body)))
}
