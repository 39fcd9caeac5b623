//! The imports that AssemblyScript's standard library makes by itself (AssemblyScript book, "Host bindings").

use crate::host::{Halt, Host, Offer, View};
use crate::wasi;

pub const MODULE: &str = "env";
/// Bytes of a message that are worth keeping.
const TEXT_BYTES: u64 = 1 << 10;

pub static OFFERS: [Offer; 4] = [
    Offer { module: MODULE, name: "abort", params: "iiii", result: "", act: abort },
    Offer { module: MODULE, name: "seed", params: "", result: "d", act: seed },
    Offer { module: MODULE, name: "trace", params: "iiddddd", result: "", act: trace },
    Offer { module: MODULE, name: "console.log", params: "i", result: "", act: console_log },
];

/// A string object: UTF-16 code units, their length in bytes in front of them (`rtSize` of the object header).
fn text(memory: View, address: u64) -> Option<String> {
    if address == 0 {
        return None;
    }
    let length = u64::from(memory.u32(address.checked_sub(4)?)?).min(TEXT_BYTES) & !1;
    let units: Vec<u16> =
        memory.bytes(address, length)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    Some(String::from_utf16_lossy(&units))
}

/// `abort(message, file, line, column)`
fn abort(_: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    let message = text(memory, args[0]).unwrap_or_else(|| "no message".into());
    let file = text(memory, args[1]).unwrap_or_else(|| "unknown file".into());
    Err(Halt::Abort(format!("{message} ({file}:{}:{})", args[2] as u32, args[3] as u32)))
}

/// Seed of `Math.random`; a finite number, as `Math.seedRandom` wants one.
fn seed(host: &mut Host, _: View, _: &[u64]) -> Result<u64, Halt> {
    host.asked = true;
    let mut bytes = [0_u8; 8];
    wasi::random(&mut bytes).map_err(|error| Halt::Abort(format!("this device gives no random numbers: {error}")))?;
    Ok((u64::from_le_bytes(bytes) as f64).to_bits())
}

/// `trace(message, count, five numbers)` goes to the log as one line.
fn trace(host: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    let mut line = format!("trace: {}", text(memory, args[0]).unwrap_or_default());
    for word in args[2..].iter().take(args[1].min(5) as usize) {
        line.push_str(&format!(" {}", f64::from_bits(*word)));
    }
    line.push('\n');
    host.log.write(line.as_bytes());
    Ok(0)
}

fn console_log(host: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    let mut line = text(memory, args[0]).unwrap_or_default();
    line.push('\n');
    host.log.write(line.as_bytes());
    Ok(0)
}
