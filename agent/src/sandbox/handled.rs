//! Signals for those processes of a job that know what to do with them: anything else would end by them.

use std::{fs, process};

use common::job::CheckpointSignal;
use rustix::process::{Pid, Signal, kill_process};

/// Returns the number of a signal.
pub(super) fn number(signal: CheckpointSignal) -> u8 {
    let signal = match signal {
        CheckpointSignal::Usr1 => Signal::USR1,
        CheckpointSignal::Usr2 => Signal::USR2,
        CheckpointSignal::Hup => Signal::HUP,
        CheckpointSignal::Int => Signal::INT,
        CheckpointSignal::Term => Signal::TERM,
    };
    // None has a number above 31; nobody handles one that is no signal.
    u8::try_from(signal.as_raw()).unwrap_or_default()
}

/// Sends a signal to every process here that handles it, but not to this one. Returns whether there was any.
pub(super) fn send(signal: u8) -> bool {
    let Some(known) = Signal::from_named_raw(i32::from(signal)) else {
        return false;
    };
    let own = process::id().cast_signed();
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut sent = false;
    for pid in pids.filter(|pid| *pid != own).filter_map(Pid::from_raw) {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
        if status.is_ok_and(|status| handles(&status, signal)) {
            sent |= kill_process(pid, known).is_ok();
        }
    }
    sent
}

/// Returns whether a process with this status handles a signal: its mask has a bit for each, from 1 on.
fn handles(status: &str, signal: u8) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::from(signal)
        .checked_sub(1)
        .and_then(|place| 1_u64.checked_shl(place));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_says_what_is_handled() {
        let status = "Name:\tpython3\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000202\n";
        let handled = (0..=64).filter(|signal| handles(status, *signal));
        assert_eq!(handled.collect::<Vec<_>>(), [2, 10]);
        for broken in ["", "SigCgt:", "SigCgt:\tzz", "SigCgt:\t-1"] {
            assert!(!handles(broken, 10), "{broken}");
        }
    }

    #[test]
    fn signals_have_their_numbers() {
        let numbers = CheckpointSignal::ALL.map(number);
        let expected = [
            libc::SIGUSR1,
            libc::SIGUSR2,
            libc::SIGHUP,
            libc::SIGINT,
            libc::SIGTERM,
        ];
        assert_eq!(numbers.map(i32::from), expected);
    }
}
