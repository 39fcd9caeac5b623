//! What host and guest do in one run: alloc, copy, call, read, dealloc. Every number that comes from the guest is checked
//! here.

use crate::abi::Abi;
use crate::engine::{Entered, Guest};
use crate::fault::{Fault, Kind};
use crate::report::{Broken, Report, Terms, Trace};

/// Bytes that the caller lends for the length of a run.
#[derive(Clone, Copy)]
pub struct Input {
    pub address: *const u8,
    pub length: usize,
}

// SAFETY: the lender holds the object while the run goes on without the GIL.
unsafe impl Send for Input {}
// SAFETY: as above; it is two numbers.
unsafe impl Sync for Input {}

/// The exports that a run calls.
pub struct Functions<C> {
    pub alloc: C,
    pub entry: C,
    pub dealloc: Option<C>,
}

/// Numbers and references only: a trap cuts it off in the middle (see [`Guest::enter`]). What is allocated while the guest
/// may still trap belongs to the report.
pub struct Dialogue<'a, C> {
    functions: &'a Functions<C>,
    packed: bool,
    input: Input,
    /// Of the buffer that the guest is asked for.
    size: u32,
    terms: &'a Terms,
    report: &'a mut Report,
}

impl<'a, C: Copy> Dialogue<'a, C> {
    pub fn new(
        functions: &'a Functions<C>,
        packed: bool,
        input: Input,
        terms: &'a Terms,
        report: &'a mut Report,
    ) -> Result<Self, Fault> {
        let size = buffer_size(input, terms.abi.headroom)?;
        Ok(Self { functions, packed, input, size, terms, report })
    }

    pub fn hold<G: Guest<Callee = C>>(&mut self, guest: &mut Entered<'_, G>) -> Result<(), Broken> {
        let Self { functions, input, size, terms, .. } = *self;
        let abi = &terms.abi;
        let pointer = guest.call(functions.alloc, [size, 0])? as u32;
        let memory = guest.memory();
        inside(&abi.alloc, "a buffer", pointer, size, memory.size)?;
        // SAFETY: `input` is lent for the run; `inside` has checked the other end; host and guest memory never overlap.
        unsafe { std::ptr::copy_nonoverlapping(input.address, memory.base.add(pointer as usize), input.length) };

        let word = guest.call(functions.entry, [pointer, input.length as u32])?;
        let memory = guest.memory();
        let (start, length) = if self.packed {
            ((word >> 32) as u32, word as u32)
        } else {
            (pointer, plain_size(abi, word as u32, size, input.length)?)
        };
        inside(&abi.entry, "a result", start, length, memory.size)?;
        short(length, terms.limits.output)?;
        // SAFETY: `inside` has checked both ends, and the guest does not run.
        let result = unsafe { std::slice::from_raw_parts(memory.base.add(start as usize), length as usize) };
        self.report.output.extend_from_slice(result);
        self.report.trace = Trace {
            pointer,
            input_size: input.length as u64,
            buffer_size: size,
            memory_address: memory.base as u64,
            buffer_address: memory.base as u64 + u64::from(pointer),
            new_size: length,
            result_pointer: start,
            memory_bytes: memory.size as u64,
        };
        if let Some(dealloc) = functions.dealloc {
            guest.call(dealloc, [pointer, size])?;
            if start != pointer && length > 0 {
                guest.call(dealloc, [start, length])?;
            }
        }
        Ok(())
    }
}

/// Hand a script to an engine: into a buffer of its `alloc`, which is the engine's own from then on.
pub fn load<G: Guest>(
    guest: &mut Entered<'_, G>,
    abi: &Abi,
    alloc: G::Callee,
    load: G::Callee,
    script: &[u8],
) -> Result<(), Broken> {
    let size = buffer_size(Input { address: script.as_ptr(), length: script.len() }, 0)?;
    let pointer = guest.call(alloc, [size, 0])? as u32;
    let memory = guest.memory();
    inside(&abi.alloc, "a buffer", pointer, size, memory.size)?;
    // SAFETY: `inside` has checked the other end; host and guest memory never overlap.
    unsafe { std::ptr::copy_nonoverlapping(script.as_ptr(), memory.base.add(pointer as usize), script.len()) };
    guest.call(load, [pointer, size])?;
    Ok(())
}

fn buffer_size(input: Input, headroom: u32) -> Result<u32, Fault> {
    u32::try_from(input.length).ok().and_then(|length| length.checked_add(headroom)).ok_or_else(|| {
        let message = format!(
            "the input has {} bytes, with the headroom of {headroom} more than a 32-bit guest can address: send less",
            input.length
        );
        Fault::new(Kind::InputTooLarge, message)
    })
}

fn inside(export: &str, what: &str, address: u32, length: u32, memory: usize) -> Result<(), Broken> {
    if u64::from(address) + u64::from(length) <= memory as u64 {
        return Ok(());
    }
    Err(Fault::new(
        Kind::Pointer,
        format!(
            "{export:?} returned {what} of {length} bytes at {address}{}, beyond the memory of {memory} bytes: correct \
             the guest",
            signed(address)
        ),
    )
    .into())
}

fn plain_size(abi: &Abi, found: u32, buffer: u32, input: usize) -> Result<u32, Broken> {
    if found <= buffer {
        return Ok(found);
    }
    if (found as i32) < 0 {
        let message = format!("{:?} returned the negative size {}: correct the guest", abi.entry, found as i32);
        return Err(Fault::new(Kind::Pointer, message).into());
    }
    Err(Fault::new(
        Kind::Overrun,
        format!(
            "{:?} returned {found} bytes in a buffer of {buffer} (input {input} + headroom {}): raise the headroom in \
             the ABI description to at least {}, or return i64",
            abi.entry,
            abi.headroom,
            u64::from(found).saturating_sub(input as u64)
        ),
    )
    .into())
}

fn short(length: u32, limit: Option<u64>) -> Result<(), Broken> {
    match limit {
        Some(limit) if u64::from(length) > limit => Err(Fault::new(
            Kind::OutputLimit,
            format!("the result has {length} bytes, the limit is {limit}: raise it or return less"),
        )
        .into()),
        _ => Ok(()),
    }
}

/// Addresses beyond 2 GiB are mostly negative numbers by mistake.
fn signed(address: u32) -> String {
    if (address as i32) < 0 { format!(" ({} as i32)", address as i32) } else { String::new() }
}
