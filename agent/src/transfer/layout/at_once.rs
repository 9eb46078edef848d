//! Work that is done on a few threads at once, for a while.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// Most threads: more would only wait for the same disk.
const MAX_THREADS: usize = 4;

/// Does `work` for each part, several parts at once, and returns what came of them in their order. Blocks.
pub(super) fn at_once<P: Sync, R: Send>(
    parts: &[P],
    work: impl Fn(&P) -> io::Result<R> + Sync,
) -> io::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let take = || -> io::Result<Vec<(usize, R)>> {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(number) else {
                return Ok(done);
            };
            done.push((number, work(part)?));
        }
    };
    let done: io::Result<Vec<_>> = thread::scope(|scope| {
        // Without a thread this one does it all.
        let others = (1..MAX_THREADS.min(parts.len()))
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, take).ok());
        let others: Vec<_> = others.collect();
        let own = take();
        let panicked = |_| Err(io::Error::other("a thread ended unexpectedly"));
        let joined = others.into_iter().map(|other| other.join());
        joined
            .map(|done| done.unwrap_or_else(panicked))
            .chain([own])
            .collect()
    });
    let mut done: Vec<(usize, R)> = done?.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_parts_and_a_failure_as_one() {
        let parts: Vec<usize> = (0..1000).collect();
        let doubled = at_once(&parts, |part| Ok(2 * part)).unwrap();
        assert!(doubled.iter().enumerate().all(|(at, two)| *two == 2 * at));
        at_once(&parts, |part| match part {
            700 => Err(io::Error::other("full")),
            _ => Ok(()),
        })
        .unwrap_err();
        assert_eq!(at_once::<usize, ()>(&[], |_| Ok(())).unwrap().len(), 0);
    }
}
