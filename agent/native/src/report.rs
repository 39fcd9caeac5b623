//! What a run is told, and what it gives.

use smallvec::SmallVec;

use crate::abi::Abi;
use crate::engine::Ending;
use crate::fault::Fault;
use crate::host::Environment;
use crate::limits::Limits;

/// What a run used, whether it succeeded or not.
#[derive(Default)]
pub struct Usage {
    pub log: Vec<u8>,
    pub fuel: u64,
    pub memory_bytes: u64,
    pub run_us: u64,
}

/// What a run gives, filled in as it goes on; what has failed has no output and no trace.
///
/// The caller lends it, since returning that much through every layer costs more than a small guest's own work.
#[derive(Default)]
pub struct Report {
    /// The result's bytes; without an allocation where they are few.
    pub output: SmallVec<[u8; 256]>,
    pub trace: Trace,
    pub usage: Usage,
}

/// What the caller decides about a run.
#[derive(Clone)]
pub struct Terms {
    pub abi: Abi,
    pub limits: Limits,
    pub environment: Environment,
}

/// What happened in memory.
#[derive(Clone, Copy, Default)]
pub struct Trace {
    pub pointer: u32,
    pub input_size: u64,
    pub buffer_size: u32,
    pub memory_address: u64,
    pub buffer_address: u64,
    pub new_size: u32,
    pub result_pointer: u32,
    pub memory_bytes: u64,
}

/// Why a run did not reach its end; boxed, so that success is handed on in a register.
pub enum Broken {
    Fault(Box<Fault>),
    Ending(Box<Ending>),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl From<Ending> for Broken {
    fn from(ending: Ending) -> Self {
        Self::Ending(Box::new(ending))
    }
}
