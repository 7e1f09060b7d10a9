//! Places at which a test has the process killed, as a crash would: by SIGKILL, with nothing flushed and nobody told.
//!
//! `ODOO_EVENTD_FAILPOINT=after-send:3` kills at the third time that the step is reached. Builds without debug assertions have none of
//! it: [`reach`] is empty, [`during`] hands back what it was given, and the variable is not read.
//!
//! The crate `fail` does more than is needed (delays, panics, changes at run time), is a dependency of the release build even when
//! switched off, and brings a second `rand` with it.

/// A step between a change's commit and the recorded end of its delivery, or in the cleaning up after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Rows of the outbox were read; nothing was made of them.
    AfterCapture,
    /// Deliveries were claimed and logged as pending, position included; nobody was handed them.
    AfterClaim,
    /// Events for readers were committed, position included; nothing else has come of them.
    AfterFeeding,
    /// The request is ready.
    BeforeSend,
    /// The receiver has answered, or failed to; nobody knows but this process.
    AfterSend,
    /// The outcome is on its way to the database, which may or may not have committed it.
    WhileRecording,
    /// An old day of the log is being dropped.
    WhileDroppingADay,
    /// Capture is being sent to the outbox's next table.
    WhileRotating,
    /// What was read of the outbox is being emptied.
    WhileEmptying,
    /// A block of the feed is being emptied.
    WhileDroppingABlock,
    /// A subscription is being looked at.
    WhileLooking,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::AfterCapture,
        Self::AfterClaim,
        Self::AfterFeeding,
        Self::BeforeSend,
        Self::AfterSend,
        Self::WhileRecording,
        Self::WhileDroppingADay,
        Self::WhileRotating,
        Self::WhileEmptying,
        Self::WhileDroppingABlock,
        Self::WhileLooking,
    ];

    /// Its name in `ODOO_EVENTD_FAILPOINT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfterCapture => "after-capture",
            Self::AfterClaim => "after-claim",
            Self::AfterFeeding => "after-feeding",
            Self::BeforeSend => "before-send",
            Self::AfterSend => "after-send",
            Self::WhileRecording => "while-recording",
            Self::WhileDroppingADay => "while-dropping-a-day",
            Self::WhileRotating => "while-rotating",
            Self::WhileEmptying => "while-emptying",
            Self::WhileDroppingABlock => "while-dropping-a-block",
            Self::WhileLooking => "while-looking",
        }
    }
}

pub use armed::{during, reach};

#[cfg(debug_assertions)]
mod armed {
    use std::future::Future;
    use std::process::Command;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::Step;

    /// Work that is to be cut off is a statement of a few milliseconds: sometimes before the server has it, sometimes after its commit.
    const CUT_OFF_WITHIN_MS: u64 = 4;

    struct Armed {
        step: Step,
        times_left: AtomicU32,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    fn armed() -> Option<&'static Armed> {
        ARMED
            .get_or_init(|| {
                let told = std::env::var("ODOO_EVENTD_FAILPOINT").ok()?;
                let (name, times) = told.split_once(':').unwrap_or((&told, "1"));
                let step = Step::ALL.into_iter().find(|step| step.name() == name);
                let times = times.parse().ok().filter(|times| *times > 0);
                // A test that arms nothing would prove nothing.
                let (Some(step), Some(times)) = (step, times) else {
                    panic!("ODOO_EVENTD_FAILPOINT=\"{told}\" names no step")
                };
                Some(Armed {
                    step,
                    times_left: AtomicU32::new(times),
                })
            })
            .as_ref()
    }

    fn is_its_turn(step: Step) -> bool {
        armed().is_some_and(|armed| armed.step == step && armed.times_left.fetch_sub(1, Ordering::Relaxed) == 1)
    }

    /// The process ends here if it was told to.
    pub fn reach(step: Step) {
        if is_its_turn(step) {
            die();
        }
    }

    /// Does the work; the process ends in its midst, or just behind it, if it was told to.
    pub async fn during<T>(step: Step, work: impl Future<Output = T>) -> T {
        if !is_its_turn(step) {
            return work.await;
        }
        tokio::select! {
            _ = work => {}
            () = tokio::time::sleep(Duration::from_millis(rand::random_range(0..=CUT_OFF_WITHIN_MS))) => {}
        }
        die()
    }

    /// A real SIGKILL, which std cannot send: the shell can. The thread stands here until it comes.
    fn die() -> ! {
        let kill = ["-c", "kill -s KILL \"$0\"", &std::process::id().to_string()];
        let sent = Command::new("/bin/sh").args(kill).status();
        loop {
            assert!(sent.as_ref().is_ok_and(std::process::ExitStatus::success), "{sent:?}");
            std::thread::park();
        }
    }
}

#[cfg(not(debug_assertions))]
mod armed {
    use std::future::Future;

    use super::Step;

    /// Nothing.
    #[inline(always)]
    pub const fn reach(_: Step) {}

    /// The work.
    #[inline(always)]
    pub fn during<F: Future>(_: Step, work: F) -> F {
        work
    }
}
