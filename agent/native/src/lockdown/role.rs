//! What a locked-down process is there for.

/// The two kinds of worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs guests: loads artifacts, catches traps, interrupts itself at a deadline.
    Worker,
    /// Compiles one module on all cores and leaves.
    Compiler,
}

impl Role {
    /// Both roles, for tests.
    #[allow(dead_code, reason = "the filter's test crate walks over it")]
    pub const ALL: [Self; 2] = [Self::Worker, Self::Compiler];

    /// The role of that name, or a message for the caller.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "worker" => Ok(Self::Worker),
            "compiler" => Ok(Self::Compiler),
            _ => Err(format!("unknown role {name:?}: use \"worker\" or \"compiler\"")),
        }
    }
}
