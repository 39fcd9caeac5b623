//! What the host offers to guests, independent of the engine.
//!
//! Every offer is one row: names, type, and the function that acts. Both engines call it through [`Offer::act`] with
//! the arguments as raw 64-bit words.

use std::sync::Arc;

use wasmparser::{FuncType, ValType};

use crate::fault::Kind;
use crate::log::Log;
use crate::watchdog::Slot;

/// Why the host ends a run.
#[derive(Clone, Debug)]
pub enum Halt {
    /// WASI `proc_exit` with its status.
    Exit(u32),
    /// AssemblyScript's `env.abort` with its text.
    Abort(String),
    /// `waspi.fail`: the guest says what is wrong, and with what.
    Failed(Kind, String),
    /// The watchdog ended the run while it slept in a host function.
    Stopped,
}

impl std::fmt::Display for Halt {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{self:?}")
    }
}

impl std::error::Error for Halt {}

/// What host functions work on during a run.
pub struct Host {
    pub log: Log,
    pub slot: Arc<Slot>,
    pub environment: Environment,
    /// Whether the guest has asked for something that differs from run to run: clock, random, environment.
    pub asked: bool,
    /// The last growth that the run's memory limit did not allow.
    pub refused: Option<Refusal>,
}

impl Host {
    pub fn new(log: Log, slot: Arc<Slot>, environment: Environment) -> Self {
        Self { log, slot, environment, asked: false, refused: None }
    }
}

/// A `memory.grow` that was refused; in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// Size of the memory, which it kept.
    pub size: u64,
    /// By how much it should have grown.
    pub growth: u64,
}

/// What WASI's `environ_get` gives: strings `NAME=value`, each ended by a NUL.
#[derive(Clone, Default)]
pub struct Environment(Arc<[u8]>);

impl Environment {
    /// From strings that a NUL ends; what stands behind the last NUL is left out.
    pub fn new(block: &[u8]) -> Self {
        let end = block.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1);
        Self(block[..end].into())
    }

    /// All strings with their NULs.
    pub fn block(&self) -> &[u8] {
        &self.0
    }

    /// Each string with its NUL.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split_inclusive(|byte| *byte == 0)
    }
}

/// The guest's linear memory during one host call.
#[derive(Clone, Copy)]
pub struct View {
    pub base: *mut u8,
    pub size: usize,
}

impl View {
    /// `length` bytes at `address`; `None` when they do not lie inside the memory.
    pub fn bytes(&self, address: u64, length: u64) -> Option<&[u8]> {
        self.check(address, length)?;
        // SAFETY: inside the memory, which stays mapped for the call; the guest does not run meanwhile.
        Some(unsafe { std::slice::from_raw_parts(self.base.add(address as usize), length as usize) })
    }

    /// Write `data` at `address`; `None` when it does not lie inside the memory.
    pub fn write(&self, address: u64, data: &[u8]) -> Option<()> {
        self.check(address, data.len() as u64)?;
        // SAFETY: as in `bytes`; `data` is host memory.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.base.add(address as usize), data.len()) };
        Some(())
    }

    /// A little-endian `u32` at `address`.
    pub fn u32(&self, address: u64) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(address, 4)?.try_into().ok()?))
    }

    /// A little-endian `u64` at `address`.
    pub fn u64(&self, address: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes(address, 8)?.try_into().ok()?))
    }

    fn check(&self, address: u64, length: u64) -> Option<()> {
        (address.checked_add(length)? <= self.size as u64).then_some(())
    }
}

/// Arguments as raw words, result as raw word (ignored when the function has none).
pub type Act = fn(&mut Host, View, &[u64]) -> Result<u64, Halt>;

/// One importable function.
pub struct Offer {
    pub module: &'static str,
    pub name: &'static str,
    /// `i` i32, `I` i64, `d` f64.
    pub params: &'static str,
    /// Empty or one letter.
    pub result: &'static str,
    pub act: Act,
}

impl Offer {
    pub fn signature(&self) -> FuncType {
        let types = |letters: &str| letters.chars().map(val_type).collect::<Vec<_>>();
        FuncType::new(types(self.params), types(self.result))
    }
}

fn val_type(letter: char) -> ValType {
    match letter {
        'i' => ValType::I32,
        'I' => ValType::I64,
        _ => ValType::F64,
    }
}
