//! A receiver over real sockets that counts.

#![allow(clippy::disallowed_methods, reason = "tasks end with the benchmark")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;

/// Counts what arrives, and remembers when, by record id, where that is asked for.
#[derive(Default)]
pub(crate) struct Ledger {
    arrived: AtomicU64,
    pub(crate) wants_times: AtomicBool,
    pub(crate) times: Mutex<Vec<(u64, Instant)>>,
    /// When each so many-th arrived.
    pub(crate) marks: Mutex<Vec<Instant>>,
    mark_every: AtomicU64,
}

impl Ledger {
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Waits until so many have arrived since the last [`Ledger::begin`].
    pub(crate) async fn wait_for(&self, count: u64, limit: Duration) {
        let started = Instant::now();
        while self.arrived() < count {
            assert!(
                started.elapsed() < limit,
                "{} of {count} deliveries arrived in {limit:?}",
                self.arrived()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Counts from nothing, and remembers when the first and each so many-th arrived; 0 = the first only.
    pub(crate) fn begin(&self, mark_every: u64) {
        self.arrived.store(0, Ordering::SeqCst);
        self.mark_every.store(mark_every, Ordering::SeqCst);
        self.marks.lock().unwrap().clear();
        self.times.lock().unwrap().clear();
    }
}

async fn answer(request: Request<Incoming>, ledger: Arc<Ledger>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let now = Instant::now();
    if ledger.wants_times.load(Ordering::Relaxed) {
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let id = body["record_ids"][0].as_u64().unwrap();
        ledger.times.lock().unwrap().push((id, now));
    }
    let number = ledger.arrived.fetch_add(1, Ordering::SeqCst) + 1;
    let every = ledger.mark_every.load(Ordering::Relaxed);
    if number == 1 || (every > 0 && number.is_multiple_of(every)) {
        ledger.marks.lock().unwrap().push(now);
    }
    Ok(Response::new(Empty::new()))
}

/// Listens, and answers 200 to everything; returns the URL.
pub(crate) async fn receiver(ledger: Arc<Ledger>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, Arc::clone(&ledger)));
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    url
}
