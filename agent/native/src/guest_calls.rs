//! waspi's own functions for guests (`guests/ABI.md`, "What the host offers").

use crate::fault::Kind;
use crate::host::{Halt, Host, Offer, View};

pub const MODULE: &str = "waspi";
/// Bytes of a message that are worth keeping.
const TEXT_BYTES: u64 = 1 << 10;

pub static OFFERS: [Offer; 1] = [Offer { module: MODULE, name: "fail", params: "iii", result: "", act: fail }];

/// `fail(whose, text, length)`: the run ends without a result. 0: the guest itself gives up; 1: the input is not what it
/// takes; 2: it cannot be loaded as it is. Any other number counts as 0.
fn fail(_: &mut Host, memory: View, args: &[u64]) -> Result<u64, Halt> {
    let kind = match args[0] {
        1 => Kind::BadInput,
        2 => Kind::InvalidScript,
        _ => Kind::Exception,
    };
    let text = memory.bytes(args[1], args[2].min(TEXT_BYTES)).unwrap_or_default();
    Err(Halt::Failed(kind, String::from_utf8_lossy(text).into_owned()))
}
