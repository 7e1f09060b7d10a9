//! A receiver of webhooks over a real socket that answers by a script: well, late, badly or not at all.
//!
//! It speaks HTTP/1.1 by hand, because its purpose is to break HTTP in ways a library would not let it. Waiting is on events: a test asks for
//! the nth request and is woken by it. The only sleeps are those of a scripted drip or delay.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How to answer one request.
#[derive(Clone, Debug)]
pub struct Reply {
    delay: Duration,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A well-formed answer.
    Whole {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// The first bytes, then the others one at a time, then nothing more with the connection left open.
    Drip {
        first: Vec<u8>,
        bytes: Vec<u8>,
        every: Duration,
    },
    /// The first bytes, then the second over and over until the sender gives up or `times` is reached.
    Endless { first: Vec<u8>, then: Vec<u8>, times: u64 },
    /// The request is read, nothing is answered, the connection stays open.
    Hang,
    /// The connection is aborted: the sender sees a reset.
    Reset,
}

impl Reply {
    fn of(kind: Kind) -> Self {
        Self {
            delay: Duration::ZERO,
            kind,
        }
    }

    /// A well-formed answer with an empty body.
    pub fn status(status: u16) -> Self {
        Self::of(Kind::Whole {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Adds a body; only for [`Reply::status`].
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        match &mut self.kind {
            Kind::Whole { body, .. } => *body = bytes.into(),
            other => panic!("{other:?} has no body"),
        }
        self
    }

    /// Adds a header; only for [`Reply::status`].
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match &mut self.kind {
            Kind::Whole { headers, .. } => headers.push((name.into(), value.into())),
            other => panic!("{other:?} has no headers"),
        }
        self
    }

    /// Waits before answering.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends these bytes and closes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(Kind::Raw(bytes.into()))
    }

    /// Reads the request and never answers.
    pub fn hang() -> Self {
        Self::of(Kind::Hang)
    }

    /// Aborts the connection once the request has been read.
    pub fn reset() -> Self {
        Self::of(Kind::Reset)
    }

    /// Closes the connection once the request has been read, without a byte.
    pub fn close() -> Self {
        Self::raw("")
    }

    /// Sends the answer's head one byte every 10 ms and never finishes it.
    pub fn drip_head() -> Self {
        let bytes = format!("HTTP/1.1 200 OK\r\nX-Slow: {}", "a".repeat(4_000)).into_bytes();
        Self::of(Kind::Drip {
            first: Vec::new(),
            bytes,
            every: Duration::from_millis(10),
        })
    }

    /// Promises a body with a 200, then sends one byte of it every 10 ms.
    pub fn drip_body() -> Self {
        Self::of(Kind::Drip {
            first: b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".into(),
            bytes: vec![b'a'; 4_000],
            every: Duration::from_millis(10),
        })
    }

    /// Sends a 200 and header lines without end.
    pub fn endless_head() -> Self {
        let line = format!("X-More: {}\r\n", "a".repeat(1_000)).repeat(16);
        Self::of(Kind::Endless {
            first: b"HTTP/1.1 200 OK\r\n".into(),
            then: line.into(),
            times: u64::MAX,
        })
    }

    /// Sends this text over and over and never anything else.
    pub fn endless(text: &str) -> Self {
        Self::of(Kind::Endless {
            first: Vec::new(),
            then: text.repeat(100).into(),
            times: u64::MAX,
        })
    }

    /// Sends informational answers without end and never the real one.
    pub fn endless_hints() -> Self {
        let hint = b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec();
        Self::of(Kind::Endless {
            first: hint.clone(),
            then: hint.repeat(100),
            times: u64::MAX,
        })
    }

    /// Sends two thousand informational answers and never the real one.
    pub fn many_hints() -> Self {
        Self::of(Kind::Endless {
            first: Vec::new(),
            then: b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100),
            times: 20,
        })
    }

    /// Answers with this status and a body of `mebibytes` MiB.
    pub fn huge(status: u16, mebibytes: u64) -> Self {
        let first = format!("HTTP/1.1 {status} Huge\r\nContent-Length: {}\r\n\r\n", mebibytes << 20).into_bytes();
        Self::of(Kind::Endless {
            first,
            then: vec![b'a'; 1 << 16],
            times: mebibytes << 4,
        })
    }

    /// Answers with 200 and chunks without end.
    pub fn endless_body() -> Self {
        let first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
        Self::of(Kind::Endless {
            first,
            then: chunk.into(),
            times: u64::MAX,
        })
    }

    /// Answers with 200 and a chunk whose size is no number.
    pub fn invalid_chunk() -> Self {
        Self::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\nbody\r\n0\r\n\r\n")
    }

    /// Promises 100 bytes, sends 5 and closes.
    pub fn short_body(status: u16) -> Self {
        Self::raw(format!("HTTP/1.1 {status} Short\r\nContent-Length: 100\r\n\r\nshort"))
    }

    /// Answers with a redirect.
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::status(status).header("Location", to)
    }

    /// Answers with a few kilobytes that a decompressing client would turn into 100 MiB.
    pub fn gzip_bomb() -> Self {
        Self::status(200)
            .header("Content-Encoding", "gzip")
            .body(gzip_of_zeros(100 << 20))
    }
}

/// A gzip stream of `length` zero bytes: one block with the fixed Huffman code, each "258 bytes as one byte ago" taking 13 bits.
fn gzip_of_zeros(length: usize) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let (mut bits, mut count) = (0_u32, 0);
    // Huffman codes go in with their first bit lowest, so they are written here in reverse.
    let codes = [(0b011, 3), (0b0000_1100, 8)].into_iter(); // last block, fixed code; the literal 0
    let repeats = std::iter::repeat_n((0b0_0000_1010_0011, 13), length / 258); // length 258 (code 285), distance 1
    for (code, width) in codes.chain(repeats).chain([(0, 7)]) {
        bits |= code << count;
        count += width;
        while count >= 8 {
            bytes.push(bits as u8);
            bits >>= 8;
            count -= 8;
        }
    }
    bytes.push(bits as u8);
    bytes.extend([0; 8]);
    bytes
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The headers in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// When it had been read completely.
    pub at: Instant,
}

impl Recorded {
    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// Answers each request as it likes.
type Answerer = Box<dyn Fn(&Recorded) -> Reply + Send + Sync>;

struct Shared {
    script: Mutex<(VecDeque<Reply>, Reply)>,
    /// In place of the script. Whoever answers keeps what is to be kept.
    answerer: Option<Answerer>,
    requests: Mutex<Vec<Recorded>>,
    count: watch::Sender<usize>,
    connections: AtomicU64,
    bytes_written: AtomicU64,
}

/// A scripted receiver on a free port of 127.0.0.1; gone when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Aborted on drop, with the connections it serves.
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// Starts listening; answers 200 until told otherwise.
    pub async fn start() -> Self {
        Self::start_with(|stream| async { Some(stream) }).await
    }

    /// Starts listening; `answerer` says how each request is answered. It is told of each once it was read; none is kept here.
    pub async fn answering(answerer: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(|stream| async { Some(stream) }, Some(Box::new(answerer))).await
    }

    /// As [`Receiver::start`], with every connection passed through `wrap` first (a TLS handshake, for one).
    pub async fn start_with<S, F>(wrap: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        S: Socket,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        Self::serve(wrap, None).await
    }

    async fn serve<S, F>(wrap: impl Fn(TcpStream) -> F + Send + Sync + 'static, answerer: Option<Answerer>) -> Self
    where
        S: Socket,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port on 127.0.0.1");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            script: Mutex::new((VecDeque::new(), Reply::status(200))),
            answerer,
            requests: Mutex::new(Vec::new()),
            count: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
        });
        let served = Arc::clone(&shared);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                served.connections.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&served);
                let wrapped = wrap(stream);
                connections.spawn(async move {
                    if let Some(stream) = wrapped.await {
                        serve(stream, &shared).await;
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    /// The address it listens at.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next requests are answered by these, in their order.
    pub fn replies(&self, replies: impl IntoIterator<Item = Reply>) -> &Self {
        lock(&self.shared.script).0.extend(replies);
        self
    }

    /// Requests beyond the script are answered by this.
    pub fn otherwise(&self, reply: Reply) -> &Self {
        lock(&self.shared.script).1 = reply;
        self
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.requests).clone()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Bytes handed to the operating system so far.
    pub fn bytes_written(&self) -> u64 {
        self.shared.bytes_written.load(Ordering::Relaxed)
    }

    /// Waits until `count` requests have arrived and returns all of them.
    ///
    /// # Panics
    /// When none has come for `silence`, saying what did arrive. How long all of them take is the machine's affair.
    pub async fn wait_for(&self, count: usize, silence: Duration) -> Vec<Recorded> {
        let mut arrived = self.shared.count.subscribe();
        while *arrived.borrow_and_update() < count {
            if tokio::time::timeout(silence, arrived.changed()).await.is_err() {
                let requests = self.requests();
                panic!(
                    "{} of {count} requests, and none for {silence:?}: {requests:#?}",
                    requests.len()
                );
            }
        }
        self.requests()
    }
}

/// What a receiver can be served over.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Makes closing it a reset, where that exists.
    fn abort_on_close(&self) {}
}

impl Socket for TcpStream {
    fn abort_on_close(&self) {
        self.set_zero_linger().expect("a connected socket takes the option");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds the lock")
}

async fn serve<S: Socket>(mut stream: S, shared: &Shared) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let reply = if let Some(answerer) = &shared.answerer {
            answerer(&request)
        } else {
            let (queue, otherwise) = &mut *lock(&shared.script);
            let reply = queue.pop_front().unwrap_or_else(|| otherwise.clone());
            lock(&shared.requests).push(request);
            reply
        };
        shared.count.send_modify(|count| *count += 1);
        tokio::time::sleep(reply.delay).await;
        if !answer(&mut stream, reply.kind, shared).await {
            break;
        }
    }
}

/// Reads one request; `None` when the sender closed or sent something else.
async fn read_request<S: Socket>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<Recorded> {
    let end = loop {
        if let Some(position) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break position;
        }
        if buffer.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
            // Somebody speaks TLS to us; answer as a web server does.
            let _ = stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                .await;
            return None;
        }
        more(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer[..end].to_vec()).ok()?;
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.into(), first.next()?.into());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut request = Recorded {
        method,
        path,
        headers,
        body: Vec::new(),
        at: Instant::now(),
    };
    let length: usize = request
        .header("content-length")
        .map_or(0, |value| value.parse().expect("a length"));
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    request.body = buffer.drain(..length).collect();
    request.at = Instant::now();
    Some(request)
}

async fn more<S: Socket>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

/// Answers as told; true when the connection can go on.
async fn answer<S: Socket>(stream: &mut S, kind: Kind, shared: &Shared) -> bool {
    let mut write = async |bytes: &[u8]| {
        let written = stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok();
        shared
            .bytes_written
            .fetch_add(if written { bytes.len() as u64 } else { 0 }, Ordering::Relaxed);
        written
    };
    match kind {
        Kind::Whole { status, headers, body } => {
            let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            // These two have no body by definition, and a length would be read as one.
            if !matches!(status, 204 | 304) {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            write(&[head.as_bytes(), b"\r\n", &body].concat()).await
        }
        Kind::Raw(bytes) => {
            write(&bytes).await;
            let _ = stream.shutdown().await;
            false
        }
        Kind::Drip { first, bytes, every } => {
            if !write(&first).await {
                return false;
            }
            for byte in bytes {
                if !write(&[byte]).await {
                    return false;
                }
                tokio::time::sleep(every).await;
            }
            until_closed(stream).await;
            false
        }
        Kind::Endless { first, then, times } => {
            let mut going = write(&first).await;
            for _ in 0..times {
                if !going {
                    return false;
                }
                going = write(&then).await;
            }
            going
        }
        Kind::Hang => {
            until_closed(stream).await;
            false
        }
        Kind::Reset => {
            stream.abort_on_close();
            false
        }
    }
}

async fn until_closed<S: Socket>(stream: &mut S) {
    let mut ignored = Vec::new();
    while more(stream, &mut ignored).await.is_some() {}
}
