//! A receiver that speaks HTTP/2 by hand, because its purpose is to refuse what a library would take, and to keep books that nobody
//! else has touched: which bodies it processed, and how often.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is processed and answered with 200.
    Answer,
    /// It is not processed: REFUSED_STREAM.
    Refuse,
    /// It is not processed, nor is any after it: GOAWAY names the one before, and the connection is closed, with this reason.
    GoAway(u32),
    /// It is processed; GOAWAY names it, and the connection is closed before it is answered.
    ProcessThenGoAway,
    /// It is processed and the stream is reset for another reason.
    ProcessThenReset,
    /// Interim answers with this status without end.
    Flood(u16),
}

/// How the request with this number, counted over all connections, and with that number on its connection, is dealt with.
type Plan = dyn Fn(usize, usize) -> Turn + Send + Sync;

#[derive(Default)]
struct Books {
    seen: usize,
    processed: Vec<Vec<u8>>,
    connections: usize,
}

/// Listens until dropped.
pub struct Http2Receiver {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
    _tasks: JoinSet<()>,
}

impl Http2Receiver {
    /// Starts listening behind this TLS.
    pub async fn start(tls: TlsAcceptor, plan: impl Fn(usize, usize) -> Turn + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let books = Arc::new(Mutex::new(Books::default()));
        let (plan, kept): (Arc<Plan>, _) = (Arc::new(plan), Arc::clone(&books));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, plan, books) = (tls.clone(), Arc::clone(&plan), Arc::clone(&kept));
                connections.spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        books.lock().unwrap().connections += 1;
                        let _ = serve(stream, &*plan, &books).await;
                    }
                });
            }
        });
        Self {
            address,
            books,
            _tasks: tasks,
        }
    }

    /// Where to send to.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/hook", self.address.port())
    }

    /// How often each body was processed.
    pub fn processed(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for body in &self.books.lock().unwrap().processed {
            *counts.entry(String::from_utf8(body.clone()).unwrap()).or_default() += 1;
        }
        counts
    }

    /// Requests that came, processed or not.
    pub fn seen(&self) -> usize {
        self.books.lock().unwrap().seen
    }

    /// Connections that were made.
    pub fn connections(&self) -> usize {
        self.books.lock().unwrap().connections
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn status(code: u16) -> Vec<u8> {
    if code == 200 {
        return vec![0x88];
    }
    // A literal without indexing whose name is that of entry 8, `:status`.
    let mut block = vec![0x08, 3];
    block.extend(code.to_string().into_bytes());
    block
}

async fn serve(mut stream: TlsStream<TcpStream>, plan: &Plan, books: &Mutex<Books>) -> io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut bodies: HashMap<u32, Vec<u8>> = HashMap::new();
    let (mut on_connection, mut last_processed) = (0, 0);
    let mut unanswered = BTreeSet::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        match kind {
            SETTINGS if flags & 1 == 0 => stream.write_all(&frame(SETTINGS, 1, 0, &[])).await?,
            PING if flags & 1 == 0 => stream.write_all(&frame(PING, 1, 0, &payload)).await?,
            DATA => {
                bodies.entry(id).or_default().extend(&payload);
                let more = u32::try_from(payload.len()).unwrap().to_be_bytes();
                if !payload.is_empty() {
                    stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &more)).await?;
                }
            }
            HEADERS => drop(unanswered.insert(id)),
            _ => {}
        }
        // The end of a request.
        if !(matches!(kind, DATA | HEADERS) && flags & 1 == 1) {
            continue;
        }
        let body = bodies.remove(&id).unwrap_or_default();
        on_connection += 1;
        let turn = {
            let mut books = books.lock().unwrap();
            books.seen += 1;
            let turn = plan(books.seen, on_connection);
            if matches!(turn, Turn::Answer | Turn::ProcessThenGoAway | Turn::ProcessThenReset) {
                books.processed.push(body);
                last_processed = last_processed.max(id);
                unanswered.remove(&id);
            }
            turn
        };
        match turn {
            Turn::Answer => stream.write_all(&frame(HEADERS, 4 | 1, id, &status(200))).await?,
            Turn::Refuse => {
                unanswered.remove(&id);
                stream
                    .write_all(&frame(RST_STREAM, 0, id, &7_u32.to_be_bytes()))
                    .await?;
            }
            Turn::ProcessThenReset => {
                stream
                    .write_all(&frame(RST_STREAM, 0, id, &2_u32.to_be_bytes()))
                    .await?
            }
            Turn::GoAway(reason) => {
                // Those below the last one were not processed either, as requests do not end in the order in which they begin.
                for below in unanswered.range(..last_processed) {
                    stream
                        .write_all(&frame(RST_STREAM, 0, *below, &7_u32.to_be_bytes()))
                        .await?;
                }
                return go_away(stream, last_processed, reason).await;
            }
            Turn::ProcessThenGoAway => return go_away(stream, last_processed, 0).await,
            Turn::Flood(code) => {
                let many = frame(HEADERS, 4, id, &status(code)).repeat(100);
                loop {
                    stream.write_all(&many).await?;
                }
            }
        }
    }
}

async fn go_away(mut stream: TlsStream<TcpStream>, last: u32, reason: u32) -> io::Result<()> {
    let payload = [last.to_be_bytes(), reason.to_be_bytes()].concat();
    stream.write_all(&frame(GOAWAY, 0, 0, &payload)).await?;
    stream.shutdown().await?;
    // What is still on its way here must not make the close a reset, or GOAWAY itself would be lost with it.
    let mut ignored = Vec::new();
    stream.read_to_end(&mut ignored).await.map(drop)
}
