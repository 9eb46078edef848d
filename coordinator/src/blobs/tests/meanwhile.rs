//! What others do at each step of the thread that is tested.

use std::{cell::RefCell, sync::mpsc, thread, time::Duration};

use super::*;
use crate::blobs::record::Header;

/// Longest that a step waits for the others, who may have to wait for what the thread itself holds.
const PATIENCE: Duration = Duration::from_millis(200);

thread_local! {
    static MEANWHILE: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// Called at each step; does nothing within itself.
pub(super) fn step() {
    if let Some(mut others) = MEANWHILE.take() {
        others();
        MEANWHILE.set(Some(others));
    }
}

/// Does `work` while at each of its steps another of these pieces comes; returns those that came.
pub(super) fn while_others_write(store: &Store, from: u32, work: impl FnOnce()) -> Vec<u32> {
    let (asked, asks) = mpsc::channel::<u32>();
    let (said, hears) = mpsc::channel();
    let writer = {
        let store = store.clone();
        thread::spawn(move || {
            for number in asks {
                let (chunk, piece) = piece(number);
                let header = Header::of(&chunk, &piece).unwrap();
                let piece = (header, piece.bytes().clone());
                store.0.journal.arrive(&store.0.packs, &[piece]).unwrap();
                let _done = said.send(());
            }
        })
    };
    let next = std::rc::Rc::new(std::cell::Cell::new(from));
    let came = std::rc::Rc::clone(&next);
    MEANWHILE.set(Some(Box::new(move || {
        asked.send(next.get()).unwrap();
        next.set(next.get() + 1);
        let _late = hears.recv_timeout(PATIENCE);
    })));
    work();
    MEANWHILE.set(None);
    writer.join().unwrap();
    (from..came.get()).collect()
}
