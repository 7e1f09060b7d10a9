//! What a receiver never processed was not a POST: it is sent again, and what may have been processed is not. Each receiver's own
//! books say how often it processed what.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use odoo_eventd::delivery::Failure;
use odoo_eventd::http::client::{Attempt, Client};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::client::{self, AMPLE, allowing, one_shot};
use crate::support::http2::{Http2Receiver, Turn};
use crate::tls::Authority;

async fn receiver(plan: impl Fn(usize, usize) -> Turn + Send + Sync + 'static) -> (Http2Receiver, Client) {
    let authority = Authority::new();
    let receiver = Http2Receiver::start(authority.server("127.0.0.1", &["h2"], |_| {}), plan).await;
    let mut config = allowing(&["127.0.0.1"]);
    config.authorities = vec![authority.certificate()];
    (receiver, Client::new(config).unwrap())
}

/// Sends so many requests, each with a body of its own, `at_once` of them side by side.
async fn send_many(client: &Client, url: &str, count: usize, at_once: usize) -> Vec<Attempt> {
    let attempts = (0..count).map(|number| {
        let mut request = one_shot(url, AMPLE);
        request.body = format!("{{\"n\":{number}}}").into();
        client.send(request)
    });
    futures_util::stream::iter(attempts)
        .buffer_unordered(at_once)
        .collect()
        .await
}

fn assert_each_arrived(attempts: &[Attempt]) {
    let lost: Vec<_> = attempts
        .iter()
        .filter(|attempt| !attempt.outcome.is_success())
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {:?}",
        lost.len(),
        attempts.len(),
        lost[0]
    );
}

fn assert_each_once(receiver: &Http2Receiver, count: usize) {
    let processed = receiver.processed();
    assert_eq!(processed.len(), count);
    assert!(processed.values().all(|times| *times == 1), "{processed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_above_the_last_that_goaway_names_are_sent_again_on_a_new_connection_and_none_twice() {
    // With every reason that a server gives: none, an internal error, "calm down".
    for reason in [0, 2, 11] {
        let (receiver, client) =
            receiver(move |_, nth| if nth > 5 { Turn::GoAway(reason) } else { Turn::Answer }).await;
        let attempts = send_many(&client, &receiver.url(), 120, 16).await;
        assert_each_arrived(&attempts);
        assert_each_once(&receiver, 120);
        assert!(receiver.connections() >= 120 / 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_streams_are_sent_again_and_none_twice() {
    let (receiver, client) = receiver(|seen, _| if seen % 3 == 1 { Turn::Refuse } else { Turn::Answer }).await;
    let attempts = send_many(&client, &receiver.url(), 100, 16).await;
    assert_each_arrived(&attempts);
    assert_each_once(&receiver, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_refuses_everything_is_asked_a_bounded_number_of_times() {
    for turn in [Turn::Refuse, Turn::GoAway(0)] {
        let (receiver, client) = receiver(move |_, _| turn).await;
        let attempts = send_many(&client, &receiver.url(), 1, 1).await;
        assert_eq!(
            attempts[0].outcome.failure,
            Some(Failure::ConnectionReset),
            "{attempts:?}"
        );
        let detail = attempts[0].detail.as_deref().unwrap();
        assert!(detail.contains("never processed"), "{detail}");
        assert!((2..100).contains(&receiver.seen()), "{}", receiver.seen());
        assert!(receiver.processed().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_processed_is_not_sent_again() {
    for turn in [Turn::ProcessThenGoAway, Turn::ProcessThenReset] {
        let (receiver, client) = receiver(move |_, _| turn).await;
        let attempts = send_many(&client, &receiver.url(), 5, 1).await;
        assert!(
            attempts
                .iter()
                .all(|a| a.outcome.failure == Some(Failure::ConnectionReset)),
            "{attempts:?}"
        );
        assert_each_once(&receiver, 5);
        assert_eq!(receiver.seen(), 5);
    }
}

/// When a receiver over HTTP/1.1 closes a connection.
#[derive(Clone, Copy, Debug)]
struct Closes {
    /// After so many answers.
    after: Option<usize>,
    /// After so long without a request.
    idle: Option<Duration>,
    /// Said in the answers' heads.
    announced: &'static str,
}

/// A receiver over HTTP/1.1 that closes connections without a word; with its books.
///
/// Nothing comes between an answer, or a look that finds no request, and the close that follows it, as long as both sides share one thread:
/// what a client cannot know is how long a receiver that is held up in between will take.
struct Closing {
    url: String,
    processed: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Closing {
    async fn start(closes: Closes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (processed, connections) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (books, made) = (Arc::clone(&processed), Arc::clone(&connections));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                made.fetch_add(1, Ordering::SeqCst);
                open.spawn(closing(stream, closes, Arc::clone(&books)));
            }
        });
        Self {
            url,
            processed,
            connections,
            _tasks: tasks,
        }
    }
}

async fn closing(mut stream: TcpStream, closes: Closes, processed: Arc<AtomicUsize>) {
    let answer = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", closes.announced);
    let limit = closes.idle.unwrap_or(AMPLE);
    for nth in 1.. {
        let mut request = Vec::new();
        // Bodies here end with what is nowhere else in a request.
        while !request.ends_with(b"}") {
            match tokio::time::timeout(limit, stream.read_buf(&mut request)).await {
                Ok(Ok(count)) if count > 0 => {}
                // It has come meanwhile, and nobody has told the runtime yet.
                Err(_) if has_unread(&stream) => {}
                _ => return,
            }
        }
        processed.fetch_add(1, Ordering::SeqCst);
        if !says(&stream, answer.as_bytes()).await || closes.after == Some(nth) {
            return;
        }
    }
}

fn has_unread(stream: &TcpStream) -> bool {
    let peeked = SockRef::from(stream).peek(&mut [std::mem::MaybeUninit::uninit()]);
    peeked.is_ok_and(|count| count > 0)
}

/// Writes all of it at once; whoever called goes on without a pause.
async fn says(stream: &TcpStream, text: &[u8]) -> bool {
    loop {
        if stream.writable().await.is_err() {
            return false;
        }
        match stream.try_write(text) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            written => return written.is_ok_and(|count| count == text.len()),
        }
    }
}

#[tokio::test]
async fn one_shots_to_receivers_that_close_without_a_word_all_arrive_once() {
    for closes in [
        Closes {
            after: Some(1),
            idle: None,
            announced: "",
        },
        Closes {
            after: Some(7),
            idle: None,
            announced: "",
        },
        Closes {
            after: Some(100),
            idle: None,
            announced: "",
        },
        Closes {
            after: Some(7),
            idle: None,
            announced: "Keep-Alive: timeout=5, max=100\r\n",
        },
        // Longer than a busy machine may take between the last look at a connection and the first byte on it: who closes within that
        // cannot be told from one who does not.
        Closes {
            after: None,
            idle: Some(Duration::from_millis(600)),
            announced: "",
        },
    ] {
        let receiver = Closing::start(closes).await;
        let client = client::client(&["127.0.0.0/8"]);
        let attempts = send_many(&client, &receiver.url, 1_500, 16).await;
        assert_each_arrived(&attempts);
        assert_eq!(receiver.processed.load(Ordering::SeqCst), 1_500, "{closes:?}");
    }
}

#[tokio::test]
async fn one_shots_share_connections_with_a_receiver_that_keeps_them() {
    let receiver = Closing::start(Closes {
        after: None,
        idle: None,
        announced: "",
    })
    .await;
    let client = client::client(&["127.0.0.0/8"]);
    assert_each_arrived(&send_many(&client, &receiver.url, 1_500, 16).await);
    let connections = receiver.connections.load(Ordering::SeqCst);
    // How many share one depends on how fast both sides are; some do on the slowest machine.
    assert!(connections < 1_500, "{connections} connections for 1,500 requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_not_used_beyond_the_time_that_its_receiver_announced() {
    // Zero is the shortest time that can be announced: nothing has to be waited for.
    let receiver = Closing::start(Closes {
        after: None,
        idle: None,
        announced: "Keep-Alive: timeout=0\r\n",
    })
    .await;
    let client = client::client(&["127.0.0.0/8"]);
    for _ in 0..10 {
        let mut request = client::post(&receiver.url, AMPLE);
        request.body = "{}".into();
        assert_each_arrived(&[client.send(request).await]);
    }
    assert_eq!(receiver.connections.load(Ordering::SeqCst), 10);
}
