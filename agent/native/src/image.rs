//! What start-up has made of an instance, so that the next one need not start up.
//!
//! `_initialize` and the loading of a script depend on no input. When they have asked the host for nothing that differs
//! from run to run, their effect is kept: the pages of memory that they changed, and the globals. A later instance gets
//! these in place of the work, and pays the same fuel. An image is taken before the first input is there, so no byte of a
//! run is ever in one.

use std::sync::OnceLock;

use wasmparser::{Operator, Parser, Payload, ValType};

use crate::engine::Guest;
use crate::host::View;

/// Bytes of changed pages that are kept at most.
const BYTES: usize = 16 << 20;
/// Globals that are kept at most: each costs a look-up in the interpreter.
const GLOBALS: usize = 64;
const PAGE: usize = 4_096;

/// `None` inside: start-up of this module gives no image.
pub type Slot = OnceLock<Option<Image>>;

pub struct Image {
    /// What start-up cost.
    fuel: i64,
    /// Size of the memory, bytes.
    memory: usize,
    /// Where each run of changed pages begins, and its bytes.
    runs: Vec<(usize, Box<[u8]>)>,
    globals: Vec<u128>,
}

/// An instance whose start-up is about to begin, for comparison.
pub struct Before {
    memory: Vec<u8>,
    fuel: i64,
}

impl Before {
    pub fn of<G: Guest>(guest: &mut G) -> Self {
        guest.host().asked = false;
        Self { memory: bytes(&guest.memory()).to_vec(), fuel: guest.fuel_left() }
    }

    /// The image, unless start-up has asked, logged, or was refused memory, or what it made is too much to keep.
    pub fn image<G: Guest>(self, guest: &mut G) -> Option<Image> {
        let fuel = self.fuel - guest.fuel_left();
        let globals = guest.globals();
        let view = guest.memory();
        let host = guest.host();
        if host.asked || host.refused.is_some() || !host.log.is_empty() || globals.len() > GLOBALS {
            return None;
        }
        let runs = changed(&self.memory, bytes(&view))?;
        Some(Image { fuel, memory: view.size, runs, globals })
    }
}

impl Image {
    /// Put the instance, which has been started, where start-up would have brought it. `false`: it does not fit the limits
    /// of this run, and nothing was changed.
    pub fn restore<G: Guest>(&self, guest: &mut G, memory_limit: u64) -> bool {
        if guest.fuel_left() < self.fuel || self.memory as u64 > memory_limit || !guest.grow(self.memory) {
            return false;
        }
        let view = guest.memory();
        for (at, run) in &self.runs {
            view.write(*at as u64, run).expect("inside the memory that the image was taken of");
        }
        guest.set_globals(&self.globals);
        guest.burn(self.fuel);
        true
    }

    /// Bytes that it keeps.
    pub fn len(&self) -> usize {
        self.runs.iter().map(|(_, run)| run.len()).sum()
    }
}

fn bytes(view: &View) -> &[u8] {
    view.bytes(0, view.size as u64).expect("all of it")
}

/// Runs of pages that differ; what lies beyond `before` was zero.
fn changed(before: &[u8], after: &[u8]) -> Option<Vec<(usize, Box<[u8]>)>> {
    let zeros = [0_u8; PAGE];
    let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut kept = 0;
    for (index, page) in after.chunks(PAGE).enumerate() {
        let at = index * PAGE;
        if page == before.get(at..at + page.len()).unwrap_or(&zeros[..page.len()]) {
            continue;
        }
        kept += page.len();
        if kept > BYTES {
            return None;
        }
        match runs.last_mut() {
            Some((start, run)) if *start + run.len() == at => run.extend_from_slice(page),
            _ => runs.push((at, page.to_vec())),
        }
    }
    Some(runs.into_iter().map(|(at, run)| (at, run.into_boxed_slice())).collect())
}

/// Whether memory and globals are all that start-up of this module can change: no start function, which runs while an
/// instance is made; no instruction that changes a table or drops a segment.
pub fn is_possible(wasm: &[u8]) -> wasmparser::Result<bool> {
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::StartSection { .. } => return Ok(false),
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let ty = global?.ty;
                    if ty.mutable && matches!(ty.content_type, ValType::Ref(_)) {
                        return Ok(false);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader()? {
                    if matches!(
                        operator?,
                        Operator::TableSet { .. }
                            | Operator::TableGrow { .. }
                            | Operator::TableFill { .. }
                            | Operator::TableCopy { .. }
                            | Operator::TableInit { .. }
                            | Operator::ElemDrop { .. }
                            | Operator::MemoryInit { .. }
                            | Operator::DataDrop { .. }
                    ) {
                        return Ok(false);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(true)
}
