use agent_core::owner::Metered;
use harness::{Seat, until};
use tokio::runtime::Runtime;

use super::*;

/// A seat, and what a bus's connection to it finds.
struct World {
    seat: Seat,
    runtime: Runtime,
    bus: Bus,
    news: Arc<Notify>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seat = Seat::new(folder.path());
        let runtime = Runtime::new().unwrap();
        let news = Arc::new(Notify::new());
        let roots = Roots::standing_in(seat.root(), seat.address());
        let bus = runtime.block_on(Bus::connect(&roots, &news)).unwrap();
        Self {
            seat,
            runtime,
            bus,
            news,
            _folder: folder,
        }
    }

    fn presence(&mut self) -> Option<Presence> {
        self.runtime.block_on(self.bus.presence())
    }

    fn hears(&self) {
        let heard = async { timeout(Duration::from_secs(30), self.news.notified()).await };
        self.runtime.block_on(heard).expect("a signal wakes");
    }
}

fn away(presence: Option<Presence>) -> Option<Duration> {
    match presence? {
        Presence::Active { .. } => Some(Duration::ZERO),
        Presence::Idle { since } => Some(clock::since_boot() - since),
    }
}

#[test]
fn logind_tells_who_is_at_the_seat_and_wakes_when_that_changes() {
    let mut world = World::new();
    let hour = away(world.presence()).unwrap().as_secs();
    assert!((3600..3660).contains(&hour), "{hour}");
    world.seat.come_back();
    world.hears();
    assert!(matches!(world.presence(), Some(Presence::Active { .. })));
    world.seat.lock();
    let Some(Presence::Idle { since }) = world.presence() else {
        panic!("a locked screen is nobody there");
    };
    assert_eq!(world.presence(), Some(Presence::Idle { since }));
    world.seat.lose_login_manager();
    assert_eq!(world.presence(), None);
}

#[test]
fn network_manager_tells_whether_the_network_is_metered() {
    let world = World::new();
    let ask = || world.runtime.block_on(world.bus.metered());
    assert_eq!(ask(), Some(Metered::No));
    world.seat.meter(true);
    world.hears();
    assert_eq!(ask(), Some(Metered::Yes));
}

#[test]
fn without_a_bus_nothing_is_told_and_a_bus_that_ends_is_noticed() {
    let roots = Roots::standing_in("/nowhere", "unix:path=/nowhere/bus");
    let news = Arc::new(Notify::new());
    let runtime = Runtime::new().unwrap();
    assert!(runtime.block_on(Bus::connect(&roots, &news)).is_none());
    let World {
        seat,
        runtime,
        bus,
        _folder,
        ..
    } = World::new();
    assert!(!bus.is_gone());
    drop(seat);
    until("the bus to be missed", || bus.is_gone().then_some(()));
    drop(runtime);
}
