//! Rules to BPF, for each architecture.
//!
//! Three programs are stacked, because one of seccompiler's knows a single answer beside "allow"; the kernel takes the
//! strictest answer of all (seccomp(2)). Since Linux 5.11 a call that is allowed whatever its arguments costs a bit
//! test, not a walk through the programs.
//!
//! seccompiler knows no 32-bit ARM. Its programs hold the architecture in one instruction and nothing else of it:
//! arguments are little-endian 64-bit words everywhere, zero-extended on ARM. So ARM's are compiled with ARM's numbers
//! and get ARM's word there; that the instruction is the expected one is checked, not assumed.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction as Action, SeccompFilter, SeccompRule as Rule, TargetArch};

use super::role::Role;
use super::rules::{ABSENT, Entry, FATAL, SEALED, allowed};
use super::syscalls::{Arch, number};

/// Index of the comparison with the architecture in a program of seccompiler (after the load of that word).
const ARCH_CHECK: usize = 1;

/// The programs of a role, in the order to install them: the allow-list last, since it ends the right to install.
pub fn programs(arch: Arch, role: Role, pid: u32) -> Result<Vec<BpfProgram>, String> {
    let fatal = FATAL.iter().map(|name| (*name, Vec::new())).collect();
    let absent = ABSENT.iter().map(|name| (*name, Vec::new())).collect();
    let list = allowed(role, pid).map_err(|error| error.to_string())?;
    Ok(vec![
        compile(arch, fatal, Action::Allow, Action::KillProcess)?,
        compile(arch, absent, Action::Allow, Action::Errno(libc::ENOSYS as u32))?,
        compile(arch, list, Action::Errno(libc::EPERM as u32), Action::Allow)?,
    ])
}

/// The program that seals a worker.
pub fn sealed(arch: Arch) -> Result<BpfProgram, String> {
    let list = SEALED.iter().map(|name| (*name, Vec::new())).collect();
    compile(arch, list, Action::Allow, Action::Errno(libc::EPERM as u32))
}

/// `matched` for the entries, `otherwise` for the rest, death for a system call of another architecture (x86's 32-bit
/// entry, 32-bit code on aarch64).
fn compile(arch: Arch, entries: Vec<Entry>, otherwise: Action, matched: Action) -> Result<BpfProgram, String> {
    let mut rules: BTreeMap<i64, Vec<Rule>> = BTreeMap::new();
    for (name, rule) in entries {
        if let Some(number) = number(arch, name)?
            && rules.insert(number, rule).is_some()
        {
            return Err(format!("the system call {name} stands in the list twice"));
        }
    }
    let like = match arch {
        Arch::X86_64 => TargetArch::x86_64,
        Arch::Aarch64 | Arch::Arm => TargetArch::aarch64,
    };
    let filter = SeccompFilter::new(rules, otherwise, matched, like).map_err(|error| error.to_string())?;
    let mut program = BpfProgram::try_from(filter).map_err(|error| error.to_string())?;
    if arch == Arch::Arm {
        match program.get_mut(ARCH_CHECK) {
            Some(check) if check.k == Arch::Aarch64.audit() => check.k = arch.audit(),
            _ => return Err("seccompiler's programs no longer begin with the architecture's check".into()),
        }
    }
    Ok(program)
}
