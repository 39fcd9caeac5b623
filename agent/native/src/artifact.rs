//! The ahead-of-time artifact: what stands around the engine's native code.
//!
//! ```text
//! magic (8) | header length u32 | skeleton length u32 | code length u64 | header | skeleton | code | SHA-256 (32)
//! ```
//! Numbers are little-endian. The header is text: the fingerprint, a line feed, the hash of the Wasm bytes, a line feed,
//! the shift of offsets in the code section. The hash at the end covers everything before it.

use sha2::{Digest, Sha256};

use crate::fault::{Fault, Kind};
use crate::fingerprint::Fingerprint;

const MAGIC: &[u8; 8] = b"waspiAOT";
const FIXED: usize = 8 + 4 + 4 + 8;
const HASH: usize = 32;

/// What `serialize` packs and `load` unpacks.
pub struct Artifact<'a> {
    pub fingerprint: Fingerprint,
    pub sha256: String,
    pub shift: u64,
    pub skeleton: &'a [u8],
    pub code: &'a [u8],
}

impl<'a> Artifact<'a> {
    pub fn pack(&self) -> Vec<u8> {
        let header = format!("{}\n{}\n{}", self.fingerprint, self.sha256, self.shift);
        let mut out = Vec::with_capacity(FIXED + header.len() + self.skeleton.len() + self.code.len() + HASH);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(header.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.skeleton.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.code.len() as u64).to_le_bytes());
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(self.skeleton);
        out.extend_from_slice(self.code);
        let hash = Sha256::digest(&out);
        out.extend_from_slice(&hash);
        out
    }

    /// Check magic, lengths, fingerprint and hash, in this order.
    pub fn unpack(bytes: &'a [u8]) -> Result<Self, Fault> {
        let Some((head, _)) = bytes.split_at_checked(FIXED).filter(|(head, _)| head.starts_with(MAGIC)) else {
            return Err(refuse("it is none"));
        };
        let number = |range: std::ops::Range<usize>| {
            head[range].iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
        };
        let lengths = [number(8..12), number(12..16), number(16..24)];
        let total = lengths.iter().try_fold((FIXED + HASH) as u64, |sum, length| sum.checked_add(*length));
        if total != Some(bytes.len() as u64) {
            return Err(refuse("its length is wrong, it was cut or extended"));
        }
        let (body, hash) = bytes.split_at(bytes.len() - HASH);
        let (header, rest) = body[FIXED..].split_at(lengths[0] as usize);
        let (skeleton, code) = rest.split_at(lengths[1] as usize);

        let header = std::str::from_utf8(header).map_err(|_| refuse("its header is damaged"))?;
        let mut lines = header.split('\n');
        let (found, sha256, shift) = (lines.next(), lines.next(), lines.next());
        let fingerprint = Fingerprint::here().admit(found.unwrap_or_default()).map_err(|why| refuse(&why))?;
        if Sha256::digest(body).as_slice() != hash {
            return Err(refuse("its hash is wrong, it was damaged"));
        }
        Ok(Self {
            fingerprint,
            sha256: sha256.unwrap_or_default().into(),
            shift: shift.and_then(|shift| shift.parse().ok()).ok_or_else(|| refuse("its header is damaged"))?,
            skeleton,
            code,
        })
    }
}

fn refuse(why: &str) -> Fault {
    Fault::new(Kind::Artifact, format!("this is no artifact that can be loaded here: {why}; compile the module again"))
}
