//! What systemd is told, where it started the service with `Type=notify`; nothing elsewhere.
//!
//! `WATCHDOG=1` is sent only while work gets on ([`Board::idle_for`]), so that systemd restarts a service that hangs.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::worker::vitals::Phase;
use crate::worker::vitals::board::Board;

/// How often it is looked whether there is something to tell.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Tells systemd that the service is ready, what it is doing, and that it is alive, until dropped.
///
/// Ready means that the database has answered: the service leads, stands by, or knows that it must not deliver.
pub async fn keep_informed(board: Arc<Board>) {
    let watchdog = sd_notify::watchdog_enabled();
    let mut told: Option<Phase> = None;
    let mut is_ready = false;
    let mut fed = tokio::time::Instant::now();
    loop {
        let phase = board.phase();
        if told != Some(phase) {
            told = Some(phase);
            tell(&[NotifyState::Status(match phase {
                Phase::Connecting => "connecting to the database",
                Phase::Standby => "standing by: another instance leads",
                Phase::Fenced => "delivers nothing: the database looks like a copy, see odoo-eventd status",
                Phase::Leading => "leading",
            })]);
        }
        if !is_ready && (board.is_many() || phase != Phase::Connecting) {
            is_ready = true;
            tell(&[NotifyState::Ready]);
        }
        // Fed four times in the limit; whoever hangs for half of it is fed no more.
        if let Some(limit) = watchdog
            && fed.elapsed() > limit / 4
            && board.idle_for() < limit / 2
        {
            fed = tokio::time::Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The same for a process that has no database to lead: it is ready at once, and alive while its runtime gets on. Until dropped.
pub async fn keep_informed_of_serving() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving the API")]);
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(limit / 4).await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// The service begins to stop.
pub fn stopping() {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("stopping: what is under way may end"),
    ]);
}

/// The configuration is being read anew.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It was read.
pub fn reloaded() {
    tell(&[NotifyState::Ready]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(error = %error, "systemd cannot be told");
    }
}
