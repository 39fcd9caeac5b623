//! What an artifact is bound to: the engine that made it, and the machines that it runs on.

use std::fmt;

use crate::backend::Compiled;
use crate::engine::Program;
use crate::machine::Machine;

/// Raised when code compiled by an earlier revision of this crate must not be used.
const REVISION: u32 = 3;

/// One line of text: crate, engine, triple and, for native code, processor features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    maker: String,
    pub machine: Machine,
}

impl Fingerprint {
    /// Of code that this crate makes for `machine`.
    pub fn of(machine: Machine) -> Self {
        Self { maker: format!("waspi {}.{REVISION}; {}", env!("CARGO_PKG_VERSION"), Compiled::maker()), machine }
    }

    /// Of code that this crate makes for the machine that it runs on.
    pub fn here() -> Self {
        Self::of(Compiled::host())
    }

    /// From the line that [`fmt::Display`] writes, and from no other.
    pub fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split("; ").collect();
        let (waspi, engine, triple, features) = match *fields.as_slice() {
            [waspi, engine, triple] => (waspi, engine, triple, ""),
            [waspi, engine, triple, features] => (waspi, engine, triple, features),
            _ => return None,
        };
        let features = features.split(',').filter(|feature| !feature.is_empty()).map(String::from).collect();
        let parsed = Self { maker: format!("{waspi}; {engine}"), machine: Machine { triple: triple.into(), features } };
        (parsed.to_string() == line).then_some(parsed)
    }

    /// Why code with the fingerprint `line` cannot run where `self` is the host's; else its fingerprint.
    ///
    /// The same maker lays out instances the same way, and features of a processor only add instructions: so code that
    /// uses fewer of them than the host has runs on it.
    pub fn admit(&self, line: &str) -> Result<Self, String> {
        let Some(code) = Self::parse(line).filter(|code| code.maker == self.maker) else {
            return Err(format!("it was made by another engine ({line:?}, this one is {:?})", self.to_string()));
        };
        if code.machine.triple != self.machine.triple {
            return Err(format!("it is for {}, this machine is {}", code.machine.triple, self.machine.triple));
        }
        let missing: Vec<_> = code.machine.features.difference(&self.machine.features).map(String::as_str).collect();
        if !missing.is_empty() {
            return Err(format!("it needs a processor with {}, which this one has not", missing.join(", ")));
        }
        Ok(code)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}; {}", self.maker, self.machine.triple)?;
        for (index, feature) in self.machine.features.iter().enumerate() {
            write!(out, "{}{feature}", if index == 0 { "; " } else { "," })?;
        }
        Ok(())
    }
}
