//! A TCP proxy that can go silent: connections stay open and nothing passes any more, as behind a firewall that has forgotten them.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// See the module documentation.
pub struct Proxy {
    address: SocketAddr,
    silenced: watch::Sender<u64>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Forwards to a port of loopback.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (silenced, silences) = watch::channel(0);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (client_reads, client_writes) = client.into_split();
                let (server_reads, server_writes) = server.into_split();
                connections.spawn(forward(client_reads, server_writes, silences.clone()));
                connections.spawn(forward(server_reads, client_writes, silences.clone()));
            }
        });
        Self {
            address,
            silenced,
            _task: task,
        }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Lets no byte through any more on the connections that there are. New ones work.
    pub fn silence(&self) {
        self.silenced.send_modify(|times| *times += 1);
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut silences: watch::Receiver<u64>,
) {
    // What came before this connection does not concern it.
    silences.mark_unchanged();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            biased;
            _ = silences.changed() => std::future::pending::<()>().await,
            read = from.read(&mut buffer) => match read {
                Ok(0) | Err(_) => return,
                Ok(read) => if to.write_all(&buffer[..read]).await.is_err() { return },
            },
        }
    }
}
