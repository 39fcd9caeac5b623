//! Limits of one run.

use std::time::Duration;

/// Bytes kept of the log when the caller names none.
const LOG_BYTES: u64 = 64 << 10;
/// As good as unlimited, and below the floor that the watchdog raises.
const FUEL: i64 = i64::MAX - 1;
/// All of a 32-bit linear memory.
const MEMORY_BYTES: u64 = 1 << 32;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Metered operators; `None` is unlimited.
    pub fuel: Option<u64>,
    /// Bytes of linear memory.
    pub memory: u64,
    pub time: Option<Duration>,
    pub output: Option<u64>,
    pub log: usize,
}

impl Limits {
    /// `None` means what `_wasmer.pyi` says of `Module.run`.
    pub fn new(
        fuel: Option<u64>,
        memory: Option<u64>,
        time_ms: Option<u64>,
        output: Option<u64>,
        log: Option<u64>,
    ) -> Self {
        Self {
            fuel,
            memory: memory.unwrap_or(MEMORY_BYTES).min(MEMORY_BYTES),
            time: time_ms.map(Duration::from_millis),
            output,
            log: usize::try_from(log.unwrap_or(LOG_BYTES)).unwrap_or(usize::MAX),
        }
    }

    /// Fuel to start with.
    pub fn tank(&self) -> i64 {
        self.fuel.and_then(|fuel| i64::try_from(fuel).ok()).unwrap_or(i64::MAX).min(FUEL)
    }
}
