//! Who comes in: a bearer token to an operator.
//!
//! All tokens that let somebody in are read together, and anew when what was read is a second old. So a revoked one, or one whose time is over,
//! is refused within a second by every instance; and wrong ones cost ten short statements a second, however many come.

use std::collections::{BTreeSet, HashMap};
use std::hint::black_box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pace::Bucket;
use crate::ops::Service;
use crate::ops::operator::Operator;
use crate::ops::tokens::{LiveToken, PREFIX, TokenDigest, digest_of};

/// What was read is good for so long.
const GOOD_FOR: Duration = Duration::from_millis(900);

/// Where a token is not among what was read it is read anew, so often at most, however many come: they wait for it together.
const PAUSE_FOR_STRANGERS: Duration = Duration::from_millis(100);

/// A failure to read them holds for so long.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// So many requests with one token may be under way at once; a stream is none once it has begun.
const UNDER_WAY: usize = 64;

/// How often it is looked whether somebody may stay.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// While the database does not say who may stay, whoever is in stays for so long.
const STAYS_UNKNOWN: Duration = Duration::from_secs(10);

/// Somebody who may come in.
#[derive(Debug)]
pub struct Admitted {
    /// The token's id.
    pub token: i32,
    /// Who he is.
    pub operator: Operator,
    /// His place among those with this token whose requests are under way.
    pub place: OwnedSemaphorePermit,
}

/// Why somebody may not.
#[derive(Debug)]
pub enum Refused {
    /// The token is none, or none any more.
    Wrong,
    /// He asks too fast.
    TooFast(Duration),
    /// Too many of his requests are under way.
    TooMany,
    /// Nobody knows now.
    Unknown(Box<crate::ops::Error>),
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Gate {
    rate: u32,
    read: tokio::sync::Mutex<Read>,
    visits: Mutex<Visits>,
}

/// What was read last, and when it could not be read.
#[derive(Debug, Default)]
struct Read {
    book: Option<Book>,
    failed: Option<(Instant, String)>,
}

#[derive(Debug, Clone)]
struct Book {
    read_at: Instant,
    tokens: Arc<HashMap<[u8; 8], LiveToken>>,
}

#[derive(Debug, Default)]
struct Visits {
    buckets: HashMap<i32, Bucket>,
    under_way: HashMap<i32, Arc<Semaphore>>,
    used: BTreeSet<i32>,
}

impl Gate {
    /// Lets in `rate` requests a second with each token.
    pub fn new(rate: u32) -> Self {
        Self {
            rate,
            read: tokio::sync::Mutex::default(),
            visits: Mutex::default(),
        }
    }

    /// Whom this token lets in.
    pub async fn admit(&self, service: &Service, token: &str) -> Result<Admitted, Refused> {
        if !token.starts_with(PREFIX) {
            return Err(Refused::Wrong);
        }
        let digest = digest_of(token);
        let asked_at = Instant::now();
        let mut known = self.book(service, GOOD_FOR).await?.token(&digest);
        if known.is_none() {
            // It may have been made since that was read.
            known = self.book_read_since(service, asked_at).await?.token(&digest);
        }
        let known = known.ok_or(Refused::Wrong)?;
        let mut visits = self.visits();
        visits.used.insert(known.id);
        let place = Self::place(&mut visits, self.rate, known.id)?;
        Ok(Admitted {
            token: known.id,
            operator: known.operator.clone(),
            place,
        })
    }

    /// Waits until a token lets nobody in any more: who has come in for long is shown out. So is he of whom nobody knows for too long.
    pub async fn dismissed(&self, service: &Service, token: i32) {
        let mut known_at = Instant::now();
        while known_at.elapsed() < STAYS_UNKNOWN {
            match self.is_live(service, token).await {
                Some(true) => known_at = Instant::now(),
                Some(false) => return,
                None => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Lets in somebody who came by other means than his token, a session, and yet is known by it.
    ///
    /// # Errors
    /// [`Refused::TooFast`], [`Refused::TooMany`].
    pub fn enter(&self, token: i32) -> Result<OwnedSemaphorePermit, Refused> {
        Self::place(&mut self.visits(), self.rate, token)
    }

    /// A place for one request of this token's.
    fn place(visits: &mut Visits, rate: u32, token: i32) -> Result<OwnedSemaphorePermit, Refused> {
        let now = Instant::now();
        let bucket = visits.buckets.entry(token).or_insert_with(|| Bucket::new(rate, now));
        bucket.take(rate, now).map_err(Refused::TooFast)?;
        let places = visits
            .under_way
            .entry(token)
            .or_insert_with(|| Arc::new(Semaphore::new(UNDER_WAY)));
        Arc::clone(places).try_acquire_owned().map_err(|_| Refused::TooMany)
    }

    /// Whether this token lets somebody in; none while nobody knows.
    pub async fn is_live(&self, service: &Service, token: i32) -> Option<bool> {
        let book = self.book(service, GOOD_FOR).await.ok()?;
        Some(book.tokens.values().any(|known| known.id == token))
    }

    /// The tokens, as they were so long ago at most.
    async fn book(&self, service: &Service, good_for: Duration) -> Result<Book, Refused> {
        let mut read = self.read.lock().await;
        match read.book.as_ref().filter(|book| book.read_at.elapsed() < good_for) {
            Some(book) => Ok(book.clone()),
            None => self.read_anew(service, &mut read).await,
        }
    }

    /// The tokens, as they were at this time or later.
    async fn book_read_since(&self, service: &Service, since: Instant) -> Result<Book, Refused> {
        loop {
            let mut read = self.read.lock().await;
            let pause = match read.book.as_ref() {
                Some(book) if book.read_at >= since => return Ok(book.clone()),
                Some(book) => PAUSE_FOR_STRANGERS.saturating_sub(book.read_at.elapsed()),
                None => Duration::ZERO,
            };
            if pause.is_zero() {
                return self.read_anew(service, &mut read).await;
            }
            drop(read);
            tokio::time::sleep(pause).await;
        }
    }

    async fn read_anew(&self, service: &Service, read: &mut Read) -> Result<Book, Refused> {
        let now = Instant::now();
        // Whoever waited in line behind a failure need not wait for the same.
        if let Some((at, why)) = read.failed.as_ref().filter(|(at, _)| at.elapsed() < FAILED_FOR) {
            let again = FAILED_FOR.saturating_sub(at.elapsed());
            tracing::debug!(why, again_ms = again.as_millis(), "the tokens are not read anew yet");
            return Err(Refused::Unknown(Box::new(
                crate::Error::database("read the tokens", why.clone()).into(),
            )));
        }
        let used = std::mem::take(&mut self.visits().used);
        let noted: Vec<i32> = used.iter().copied().collect();
        let live = match service.live_tokens(&noted).await {
            Ok(live) => live,
            Err(error) => {
                self.visits().used.extend(used);
                read.failed = Some((Instant::now(), error.to_string()));
                return Err(Refused::Unknown(Box::new(error)));
            }
        };
        let ids: BTreeSet<i32> = live.iter().map(|token| token.id).collect();
        let mut visits = self.visits();
        visits.buckets.retain(|id, _| ids.contains(id));
        visits.under_way.retain(|id, _| ids.contains(id));
        drop(visits);
        let book = Book {
            read_at: now,
            tokens: Arc::new(live.into_iter().map(|token| (shelf(&token.digest), token)).collect()),
        };
        *read = Read {
            book: Some(book.clone()),
            failed: None,
        };
        Ok(book)
    }

    fn visits(&self) -> MutexGuard<'_, Visits> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn token(&self, digest: &TokenDigest) -> Option<LiveToken> {
        let known = self.tokens.get(&shelf(digest));
        known.filter(|known| are_equal(&known.digest, digest)).cloned()
    }
}

/// Where a token is looked for: how long that takes tells nothing but of a hash.
fn shelf(digest: &TokenDigest) -> [u8; 8] {
    let mut shelf = [0; 8];
    shelf.copy_from_slice(&digest[..8]);
    shelf
}

/// In a time that does not depend on where they differ.
fn are_equal(one: &TokenDigest, other: &TokenDigest) -> bool {
    let differing = one
        .iter()
        .zip(other)
        .fold(0, |differing, (a, b)| black_box(differing | (a ^ b)));
    differing == 0
}
