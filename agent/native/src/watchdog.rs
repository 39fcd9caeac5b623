//! Stops runs: deadlines and cancellation.
//!
//! A run is stopped by raising the floor of its fuel tank from outside: the guest compares the two in every loop and
//! function, so it traps there, in a well-defined place, without a signal. The guest only reads the floor. Emptying the
//! tank itself would not do: a tight loop writes it every few cycles and, on processors that forward a load from the
//! store before it, may overwrite for ever what another core put there.
//!
//! One thread serves the process. It sleeps until the earliest deadline that it knows; arming a run costs a lock that
//! nobody else holds, and a wake-up only when its deadline comes before that.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, Weak};
use std::thread::Thread;
use std::time::Duration;

use crate::fault::{Fault, Kind};

const NEVER: u64 = u64::MAX;

/// Nanoseconds of the kernel's monotonic clock; read without the arithmetic of `Instant`, twice in every run.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local; this clock is there on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Deadline,
    Canceled,
}

/// Where the floor of a run's tank is; valid from `arm` to `disarm`.
struct Floor(*const AtomicI64);

// SAFETY: the pointer is used under the slot's lock only, and `disarm` takes it away before the floor dies.
unsafe impl Send for Floor {}

struct Target {
    floor: Option<Floor>,
    deadline: u64,
    stop: Option<Stop>,
}

/// The run that a thread has going, if any. A thread has one slot for all its runs.
pub struct Slot {
    target: Mutex<Target>,
    bell: Condvar,
}

thread_local! {
    static SLOT: OnceCell<Arc<Slot>> = const { OnceCell::new() };
}

static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());
/// When the watchdog wakes next; `NEVER` while it looks at the slots or sleeps for good.
static NEXT: AtomicU64 = AtomicU64::new(NEVER);
static WATCHDOG: OnceLock<Option<Thread>> = OnceLock::new();

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Slot {
    /// Do `work` with the slot of this thread.
    pub fn with_current<T>(work: impl FnOnce(&Arc<Self>) -> T) -> T {
        SLOT.with(|slot| work(slot.get_or_init(Self::register)))
    }

    fn register() -> Arc<Self> {
        let slot = Arc::new(Self {
            target: Mutex::new(Target { floor: None, deadline: NEVER, stop: None }),
            bell: Condvar::new(),
        });
        let mut slots = lock(&SLOTS);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
    }

    /// Begin to watch a run that ends when `floor` is above its fuel; `deadline` is in the time of [`now`].
    ///
    /// # Safety
    /// `floor` must stay valid until [`Slot::disarm`] was called.
    pub unsafe fn arm(&self, floor: *const AtomicI64, deadline: Option<u64>) -> Result<(), Fault> {
        let deadline = deadline.unwrap_or(NEVER);
        {
            let mut target = lock(&self.target);
            *target = Target { floor: Some(Floor(floor)), deadline, stop: None };
        }
        if deadline < NEXT.load(Ordering::SeqCst) {
            start()?.unpark();
        }
        Ok(())
    }

    /// The run has ended: why it was stopped, if it was.
    pub fn disarm(&self) -> Option<Stop> {
        let mut target = lock(&self.target);
        target.floor = None;
        target.deadline = NEVER;
        target.stop.take()
    }

    /// Whether the run was told to stop.
    pub fn stopped(&self) -> bool {
        lock(&self.target).stop.is_some()
    }

    /// Sleep inside a run; `false` when the run was stopped meanwhile.
    pub fn sleep(&self, time: Duration) -> bool {
        let target = lock(&self.target);
        let (target, _) = self
            .bell
            .wait_timeout_while(target, time, |target| target.stop.is_none())
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        target.stop.is_none()
    }

    /// Stop the armed run, if there is one.
    pub fn stop(&self, why: Stop) {
        self.end(&mut lock(&self.target), why);
    }

    /// Look at the run: stop it if its time is up. When to look again.
    fn patrol(&self, time: u64) -> u64 {
        let mut target = lock(&self.target);
        if target.stop.is_none() && target.deadline > time {
            return target.deadline;
        }
        self.end(&mut target, Stop::Deadline);
        NEVER
    }

    /// The first reason stays.
    fn end(&self, target: &mut Target, why: Stop) {
        if let Some(Floor(floor)) = target.floor {
            target.stop.get_or_insert(why);
            // SAFETY: `arm`'s contract. The guest's own accesses are plain loads of generated code.
            unsafe { (*floor).store(i64::MAX, Ordering::SeqCst) };
            self.bell.notify_all();
        }
    }
}

/// Start the thread if it does not run yet. The sandbox does so before it gives up the right to.
pub fn start() -> Result<&'static Thread, Fault> {
    WATCHDOG
        .get_or_init(|| {
            let builder = std::thread::Builder::new().name("waspi-watchdog".into()).stack_size(64 << 10);
            builder.spawn(patrol).ok().map(|handle| handle.thread().clone())
        })
        .as_ref()
        .ok_or_else(|| {
            Fault::new(Kind::Device, "the system refused a thread for the watchdog: raise its limit of threads")
        })
}

fn patrol() {
    loop {
        // Whoever arms from here on wakes us, so that nobody is missed between the look and the sleep.
        NEXT.store(NEVER, Ordering::SeqCst);
        let slots: Vec<_> = lock(&SLOTS).iter().filter_map(Weak::upgrade).collect();
        let time = now();
        let next = slots.iter().map(|slot| slot.patrol(time)).min().unwrap_or(NEVER);
        drop(slots);
        if next == NEVER {
            std::thread::park();
        } else {
            NEXT.store(next, Ordering::SeqCst);
            std::thread::park_timeout(Duration::from_nanos(next.saturating_sub(now())));
        }
    }
}
