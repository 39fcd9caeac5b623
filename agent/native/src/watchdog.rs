//! Stops runs: deadlines and cancellation.
//!
//! A run is stopped by emptying its fuel tank from outside: the guest looks at the tank in every loop and function, so
//! it traps there, in a well-defined place, without a signal. The guest may be between reading and writing the tank at
//! that moment and overwrite what was put there; therefore the watchdog empties it again until the run has ended.
//!
//! One thread serves the process. It sleeps until the earliest deadline that it knows; arming a run costs a lock that
//! nobody else holds, and a wake-up only when its deadline comes before that.

use std::cell::RefCell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, Weak};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::fault::{Fault, Kind};

/// Pause between two attempts to stop the same run.
const RETRY: Duration = Duration::from_micros(200);
const NEVER: u64 = u64::MAX;
/// A tank so far below zero that no charge brings it back, and far enough from the end not to wrap around.
const EMPTY: i64 = i64::MIN / 2;

/// Nanoseconds since the first use in this process.
pub fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Deadline,
    Canceled,
}

/// Where the tank of a run is; valid from `arm` to `disarm`.
struct Tank(*const AtomicI64);

// SAFETY: the pointer is used under the slot's lock only, and `disarm` takes it away before the tank dies.
unsafe impl Send for Tank {}

struct Target {
    tank: Option<Tank>,
    deadline: u64,
    stop: Option<Stop>,
    /// Lowest level that was read before it was overwritten.
    level: i64,
}

/// The run that a thread has going, if any. A thread has one slot for all its runs.
pub struct Slot {
    target: Mutex<Target>,
    bell: Condvar,
}

thread_local! {
    static SLOT: RefCell<Option<Arc<Slot>>> = const { RefCell::new(None) };
}

static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());
/// When the watchdog wakes next; `NEVER` while it looks at the slots or sleeps for good.
static NEXT: AtomicU64 = AtomicU64::new(NEVER);
static WATCHDOG: OnceLock<Option<Thread>> = OnceLock::new();

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Slot {
    /// The slot of this thread.
    pub fn current() -> Arc<Self> {
        SLOT.with_borrow_mut(|slot| {
            slot.get_or_insert_with(|| {
                let slot = Arc::new(Self {
                    target: Mutex::new(Target { tank: None, deadline: NEVER, stop: None, level: i64::MAX }),
                    bell: Condvar::new(),
                });
                let mut slots = lock(&SLOTS);
                slots.retain(|slot| slot.strong_count() > 0);
                slots.push(Arc::downgrade(&slot));
                slot
            })
            .clone()
        })
    }

    /// Begin to watch a run whose fuel is at `tank`; `deadline` is in the time of [`now`].
    ///
    /// # Safety
    /// `tank` must stay valid until [`Slot::disarm`] was called.
    pub unsafe fn arm(&self, tank: *const AtomicI64, deadline: Option<u64>) -> Result<(), Fault> {
        let deadline = deadline.unwrap_or(NEVER);
        {
            let mut target = lock(&self.target);
            *target = Target { tank: Some(Tank(tank)), deadline, stop: None, level: i64::MAX };
        }
        if deadline < NEXT.load(Ordering::SeqCst) {
            start()?.unpark();
        }
        Ok(())
    }

    /// The run has ended: why it was stopped, if it was, and the lowest level of fuel that was seen then.
    pub fn disarm(&self) -> Option<(Stop, i64)> {
        let mut target = lock(&self.target);
        target.tank = None;
        target.deadline = NEVER;
        target.stop.take().map(|stop| (stop, target.level))
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

    /// Ask the armed run to stop; the watchdog sees to it that it does.
    pub fn stop(&self, why: Stop) {
        let mut target = lock(&self.target);
        if target.tank.is_none() {
            return;
        }
        target.stop.get_or_insert(why);
        self.empty(&mut target);
        drop(target);
        // Without a thread to repeat it, this one attempt has to do; a deadline would have told before.
        if let Ok(watchdog) = start() {
            watchdog.unpark();
        }
    }

    /// Look at the run: stop it if its time is up, again if need be. When to look again.
    fn patrol(&self, time: u64) -> u64 {
        let mut target = lock(&self.target);
        if target.tank.is_none() {
            return NEVER;
        }
        if target.stop.is_none() && target.deadline > time {
            return target.deadline;
        }
        target.stop.get_or_insert(Stop::Deadline);
        self.empty(&mut target);
        time + RETRY.as_nanos() as u64
    }

    fn empty(&self, target: &mut Target) {
        if let Some(Tank(tank)) = target.tank {
            // SAFETY: `arm`'s contract. The guest's own accesses are plain loads and stores of generated code.
            let level = unsafe { (*tank).swap(EMPTY, Ordering::SeqCst) };
            if level >= 0 {
                target.level = target.level.min(level);
            }
        }
        self.bell.notify_all();
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
