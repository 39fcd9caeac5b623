//! System call numbers of the three architectures, by name.
//!
//! `libc` only knows those of the target that is being built; a filter for each architecture can be generated and
//! tested on every machine because the numbers stand here. Each build checks its own column against `libc` at compile
//! time. `-` means that the architecture lacks the call (or that no rule needs it there), `(n)` that `libc` has no
//! constant for it.

/// An architecture that waspi is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
}

impl Arch {
    /// All of them, for tests.
    #[allow(dead_code, reason = "the filter's test crate walks over it")]
    pub const ALL: [Self; 3] = [Self::X86_64, Self::Aarch64, Self::Arm];

    /// The one that this binary runs on.
    pub const CURRENT: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Aarch64)
    } else if cfg!(target_arch = "arm") {
        Some(Self::Arm)
    } else {
        None
    };

    /// What the kernel calls it in `seccomp_data.arch` (linux/audit.h): ELF machine, 64-bit and little-endian bits.
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xC000_003E,
            Self::Aarch64 => 0xC000_00B7,
            Self::Arm => 0x4000_0028,
        }
    }
}

/// The number of a call, `None` where the architecture has none. A name that is missing from the table altogether is a
/// bug that the tests find: it is refused, never guessed.
pub fn number(arch: Arch, name: &str) -> Result<Option<i64>, String> {
    let row = TABLE.iter().find(|row| row.0.strip_prefix("SYS_") == Some(name));
    let (_, x86_64, aarch64, arm) = row.ok_or_else(|| format!("no number is known for the system call {name}"))?;
    Ok(match arch {
        Arch::X86_64 => *x86_64,
        Arch::Aarch64 => *aarch64,
        Arch::Arm => *arm,
    })
}

macro_rules! value {
    (-) => {
        None
    };
    (($number:literal)) => {
        Some($number)
    };
    ($number:literal) => {
        Some($number)
    };
}

macro_rules! agrees {
    ($name:ident -) => {};
    ($name:ident ($number:literal)) => {};
    ($name:ident $number:literal) => {
        const _: () = assert!(libc::$name == $number);
    };
}

macro_rules! table {
    ($($name:ident $x86_64:tt $aarch64:tt $arm:tt;)*) => {
        /// Name, x86_64, aarch64, arm.
        const TABLE: &[(&str, Option<i64>, Option<i64>, Option<i64>)] =
            &[$((stringify!($name), value!($x86_64), value!($aarch64), value!($arm)),)*];
        $(
            #[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
            agrees!($name $x86_64);
            #[cfg(all(target_arch = "aarch64", target_env = "gnu"))]
            agrees!($name $aarch64);
            #[cfg(all(target_arch = "arm", target_env = "gnu"))]
            agrees!($name $arm);
        )*
    };
}

table! {
    SYS_add_key 248 217 309;
    SYS_bpf 321 280 386;
    SYS_brk 12 214 45;
    SYS_cacheflush - - (0xf0002);
    SYS_chroot 161 51 61;
    SYS_clock_getres 229 114 264;
    SYS_clock_getres_time64 - - (406);
    SYS_clock_gettime 228 113 263;
    SYS_clock_gettime64 - - (403);
    SYS_clock_nanosleep 230 115 265;
    SYS_clock_nanosleep_time64 - - (407);
    SYS_clone 56 220 120;
    SYS_clone3 435 435 435;
    SYS_close 3 57 6;
    SYS_delete_module 176 106 129;
    SYS_execve 59 221 11;
    SYS_execveat 322 281 387;
    SYS_exit 60 93 1;
    SYS_exit_group 231 94 248;
    SYS_fcntl 72 25 55;
    SYS_fcntl64 - - 221;
    SYS_finit_module 313 273 379;
    SYS_fsconfig 431 431 431;
    SYS_fsmount 432 432 432;
    SYS_fsopen 430 430 430;
    SYS_fspick 433 433 433;
    SYS_fstat 5 80 108;
    SYS_fstat64 - - 197;
    SYS_futex 202 98 240;
    SYS_futex_time64 - - (422);
    SYS_getpid 39 172 20;
    SYS_getrandom 318 278 384;
    SYS_gettid 186 178 224;
    SYS_gettimeofday 96 169 78;
    SYS_init_module 175 105 128;
    SYS_io_uring_enter 426 426 426;
    SYS_io_uring_register 427 427 427;
    SYS_io_uring_setup 425 425 425;
    SYS_ioctl 16 29 54;
    SYS_ioperm 173 - -;
    SYS_iopl 172 - -;
    SYS_kcmp 312 272 378;
    SYS_kexec_file_load 320 294 401;
    SYS_kexec_load 246 104 347;
    SYS_keyctl 250 219 311;
    SYS__llseek - - 140;
    SYS_lseek 8 62 19;
    SYS_madvise 28 233 220;
    SYS_membarrier 324 283 389;
    SYS_mincore 27 232 219;
    SYS_mmap 9 222 -;
    SYS_mmap2 - - 192;
    SYS_modify_ldt 154 - -;
    SYS_mount 165 40 21;
    SYS_mount_setattr 442 442 442;
    SYS_move_mount 429 429 429;
    SYS_mprotect 10 226 125;
    SYS_mremap 25 216 163;
    SYS_munmap 11 215 91;
    SYS_nanosleep 35 101 162;
    SYS_open_by_handle_at 304 265 371;
    SYS_open_tree 428 428 428;
    SYS_perf_event_open 298 241 364;
    SYS_pidfd_getfd 438 438 438;
    SYS_pivot_root 155 41 218;
    SYS_poll 7 - 168;
    SYS_ppoll 271 73 336;
    SYS_ppoll_time64 - - (414);
    SYS_prctl 157 167 172;
    SYS_pread64 17 67 180;
    SYS_prlimit64 302 261 369;
    SYS_process_vm_readv 310 270 376;
    SYS_process_vm_writev 311 271 377;
    SYS_ptrace 101 117 26;
    SYS_read 0 63 3;
    SYS_readv 19 65 145;
    SYS_reboot 169 142 88;
    SYS_recvfrom 45 207 292;
    SYS_recvmsg 47 212 297;
    SYS_request_key 249 218 310;
    SYS_restart_syscall 219 128 0;
    SYS_rseq 334 293 398;
    SYS_rt_sigaction 13 134 174;
    SYS_rt_sigprocmask 14 135 175;
    SYS_rt_sigreturn 15 139 173;
    SYS_sched_getaffinity 204 123 242;
    SYS_sched_yield 24 124 158;
    SYS_seccomp 317 277 383;
    SYS_sendto 44 206 290;
    SYS_set_robust_list 273 99 338;
    SYS_setns 308 268 375;
    SYS_shutdown 48 210 293;
    SYS_sigaltstack 131 132 186;
    SYS_sigreturn - - 119;
    SYS_swapoff 168 225 115;
    SYS_swapon 167 224 87;
    SYS_tgkill 234 131 268;
    SYS_umount2 166 39 52;
    SYS_unshare 272 97 337;
    SYS_userfaultfd 323 282 388;
    SYS_write 1 64 4;
    SYS_writev 20 66 146;
}
