//! Landlock: no file, no TCP port, no abstract socket and no signal outside, where the kernel has it.
//!
//! A second wall behind seccomp: it still stands when a system call that opens files was overlooked. Best effort: each
//! kernel enforces what its ABI knows (landlock(7)); without any rule everything handled is denied.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, RestrictSelfAttr, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope,
};

use super::posture::{Outcome, failed};

/// The newest ABI whose rights were looked at: all of them are refused.
const NEWEST: ABI = ABI::V10;
/// `LANDLOCK_CREATE_RULESET_VERSION` (linux/landlock.h): asks for the ABI instead of making a ruleset.
const VERSION: libc::c_uint = 1;

/// Restricts the process. The reason why it is off includes threads that ran before and are not covered.
pub fn restrict(siblings: usize) -> Outcome {
    let status = deny_everything().map_err(|error| error.to_string())?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => Err(not_enabled()),
        (RulesetStatus::NotEnforced, _) => Err(not_implemented()),
        _ if siblings > 0 && !status.all_threads => {
            Err(format!("{siblings} other threads run already and are not covered: lock down before starting threads"))
        }
        _ => probe(),
    }
}

/// `abi N`, as far as this module uses it.
pub fn probe() -> Outcome {
    // SAFETY: with this flag the kernel reads neither pointer nor size (landlock_create_ruleset(2)).
    match unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION) } {
        abi if abi > 0 => Ok(format!("abi {abi}")),
        _ => Err(match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EOPNOTSUPP) => not_enabled(),
            Some(libc::ENOSYS) => not_implemented(),
            _ => failed("landlock_create_ruleset"),
        }),
    }
}

fn deny_everything() -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .all_threads(true)?
        .restrict_self()
}

fn not_enabled() -> String {
    "the kernel has Landlock but it was not switched on: add landlock to lsm= on the kernel command line".into()
}

fn not_implemented() -> String {
    "this kernel was built without Landlock (CONFIG_SECURITY_LANDLOCK, Linux 5.13 or newer)".into()
}
