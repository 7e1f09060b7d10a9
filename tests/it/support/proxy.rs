//! A TCP proxy that does what networks do: it cuts connections, or goes silent, in one direction or both, for a while or for ever. A
//! silent connection stays open, as behind a firewall that has forgotten it; worse, the kernels at both its ends go on acknowledging
//! what is sent, so that no keepalive notices.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// In which direction nothing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Neither.
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Silent(Way),
    Cut,
}

type Connections = Arc<Mutex<Vec<watch::Sender<State>>>>;

/// See the module documentation.
pub struct Proxy {
    address: SocketAddr,
    connections: Connections,
    _task: JoinSet<()>,
}

impl Proxy {
    /// Forwards to a port of loopback.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections::default();
        let made = Arc::clone(&connections);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // As if there were no proxy: nobody listens there.
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    let _ = client.set_zero_linger();
                    continue;
                };
                let (state, states) = watch::channel(State::Open);
                made.lock().unwrap().push(state);
                let (client_reads, client_writes) = client.into_split();
                let (server_reads, server_writes) = server.into_split();
                tasks.spawn(forward(client_reads, server_writes, states.clone(), Way::ToServer));
                tasks.spawn(forward(server_reads, client_writes, states, Way::ToClient));
                while tasks.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            connections,
            _task: task,
        }
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A connection string of which the server's port is this proxy's.
    pub fn url(&self, direct: &str, server_port: u16) -> String {
        let through = direct.replace(&format!(":{server_port}/"), &format!(":{}/", self.port()));
        assert_ne!(through, direct);
        through
    }

    /// Lets no byte through any more on the connections that there are. New ones work.
    pub fn silence(&self) {
        self.tell(None, State::Silent(Way::Both));
    }

    /// The same in one direction, of the nth oldest connection or of all.
    pub fn silence_way(&self, which: Option<usize>, way: Way) {
        self.tell(which, State::Silent(way));
    }

    /// What was held up goes on, as after a network's recovery.
    pub fn resume(&self) {
        self.tell(None, State::Open);
    }

    /// Resets the nth oldest connection, or all that there are. New ones work.
    pub fn cut(&self, which: Option<usize>) {
        self.tell(which, State::Cut);
    }

    fn tell(&self, which: Option<usize>, state: State) {
        let mut connections = self.connections.lock().unwrap();
        connections.retain(|state| !state.is_closed());
        for (index, connection) in connections.iter().enumerate() {
            if which.is_none_or(|which| which == index) {
                connection.send_replace(state);
            }
        }
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut states: watch::Receiver<State>, way: Way) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            biased;
            () = until_cut(&mut states) => break,
            read = from.read(&mut buffer) => read,
        };
        // An end is held up like everything else.
        let passes = |state: &State| !matches!(state, State::Silent(silent) if *silent == way || *silent == Way::Both);
        if states.wait_for(passes).await.is_err() || *states.borrow() == State::Cut {
            break;
        }
        match read {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                if to.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
    // Closing is a reset then, in both directions.
    let _ = from.as_ref().set_zero_linger();
    let _ = to.as_ref().set_zero_linger();
    to.forget();
}

async fn until_cut(states: &mut watch::Receiver<State>) {
    // The proxy is gone: so is its task, a moment later.
    if states.wait_for(|state| *state == State::Cut).await.is_err() {
        std::future::pending().await
    }
}
