//! Lists of more rows than one answer has: every row that stays is seen once, in order, whatever comes and goes meanwhile.
//! Rows are put in as a store would, not made by commands: some bounds of orgs are below the length of a page.

mod people;
mod things;

use common::{
    api::{Answer, MAX_ROWS, Request, page::Page},
    id::{TreeId, UserId},
    name::Name,
};

use super::world::{ALICE, BOB, ORG, World, machine_id, name};

/// Rows that a list has besides those of the world: even numbers, so that there is room between them.
const ROWS: u32 = 2_500;
/// More than are made; what the world has already comes to more.
const END: u32 = 10_000;

/// Ids in the order of the numbers, above those that the world makes.
fn id(number: u32) -> [u8; 16] {
    let mut bytes = [0xee; 16];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Ids against the order of the numbers, for lists that begin with the newest.
fn newer(number: u32) -> [u8; 16] {
    id(u32::MAX - number)
}

fn tail(bytes: &[u8; 16]) -> u32 {
    u32::from_be_bytes(bytes[12..].try_into().unwrap())
}

fn called(number: u32) -> Name {
    name(&format!("row-{number:05}"))
}

fn number_of(name: &Name) -> u32 {
    let number = name.as_str().strip_prefix("row-");
    number.map_or(u32::MAX, |number| number.parse().unwrap())
}

/// A list whose rows are made by number, in its order.
struct List<T, K> {
    who: UserId,
    ask: fn(Option<K>) -> Request,
    page: fn(Answer) -> Option<Page<T, K>>,
    number: fn(&T) -> u32,
    put: fn(&mut World, u32),
    take: fn(&mut World, u32),
}

impl<T, K: Clone> List<T, K> {
    fn ask(&self, world: &World, after: Option<K>) -> Page<T, K> {
        let answer = world.ask(self.who, &(self.ask)(after)).unwrap();
        let page = (self.page)(answer).expect("it is that list");
        assert!(page.rows.len() <= MAX_ROWS as usize);
        page
    }

    /// Returns the numbers page by page; `between` happens after the first.
    fn fetch(&self, world: &mut World, between: impl Fn(&mut World, &[u32])) -> Vec<Vec<u32>> {
        let mut pages: Vec<Vec<u32>> = Vec::new();
        let mut after = None;
        loop {
            let page = self.ask(world, after);
            let numbers = page.rows.iter().map(|row| (self.number)(row));
            pages.push(numbers.filter(|number| *number < END).collect());
            if pages.len() == 1 {
                between(world, &pages[0]);
            }
            after = page.next;
            if after.is_none() {
                return pages;
            }
        }
    }

    fn check(&self, mut world: World) {
        let all: Vec<u32> = (0..ROWS).map(|row| row * 2).collect();
        for number in &all {
            (self.put)(&mut world, *number);
        }
        world.state.finish_load().unwrap();
        let pages = self.fetch(&mut world, |_, _| {});
        assert_eq!(pages.len(), 3);
        assert_eq!(pages.concat(), all);

        // What the first page ended with goes, and a row before and one behind; others come before and behind.
        let (gone, come) = (all[2_000], all[1_500] + 1);
        let pages = self.fetch(&mut world, |world, seen| {
            let last = *seen.last().unwrap();
            for number in [last, seen[10], gone] {
                (self.take)(world, number);
            }
            for number in [seen[20] + 1, come] {
                (self.put)(world, number);
            }
            world.state.finish_load().unwrap();
        });
        let mut seen = all;
        seen.retain(|number| *number != gone);
        seen.push(come);
        seen.sort_unstable();
        assert_eq!(pages.concat(), seen);
    }
}

#[test]
fn an_answer_is_as_long_as_it_may_be_and_no_longer() {
    let mut world = World::new();
    for number in 0..40 {
        things::put_machine(&mut world, number);
        let mut report = super::world::report(super::world::capacity(4, 8));
        report.cached = (0..4096).map(|_| TreeId::new([7; 32])).collect();
        world.state.reports.insert(things::machine(number), report);
    }
    world.state.finish_load().unwrap();
    let pages = things::machines().fetch(&mut world, |_, _| {});
    assert!((3..10).contains(&pages.len()), "{}", pages.len());
    assert_eq!(pages.concat(), Vec::from_iter(0..40));
}

#[test]
fn a_request_looks_at_so_many_rows_whatever_it_shows() {
    let mut world = World::new();
    people::members_may_invite(&mut world);
    let own = world.invite_by(BOB, 9, common::status::Role::Member, 1);
    for number in 0..30_000 {
        people::put_invitation(&mut world, number);
    }
    world.state.finish_load().unwrap();
    let list = List {
        who: BOB,
        ..people::invitations()
    };
    let first = list.ask(&world, None);
    assert!(first.rows.is_empty() && first.next.is_some());
    let second = list.ask(&world, first.next);
    let ids: Vec<_> = second.rows.iter().map(|row| row.id).collect();
    assert_eq!((ids, second.next), (vec![own], None));
}

#[test]
fn a_page_after_what_never_was_is_a_page() {
    let mut world = World::new();
    world.register(10, BOB, "box").unwrap();
    let machines = things::machines();
    let after = |text| Some((name(text), machine_id(255)));
    assert_eq!(machines.ask(&world, after("a")).rows.len(), 1);
    assert_eq!(machines.ask(&world, after("z")), Page::default());
    let members = people::members();
    let last = Some(UserId::from_bytes([255; 16]));
    assert_eq!(members.ask(&world, last), Page::default());
    let request = Request::ListMembers {
        org: ORG,
        after: Some(UserId::from_bytes([0; 16])),
    };
    let everybody = world.ask(ALICE, &request);
    assert!(matches!(everybody, Ok(Answer::Members(page)) if page.rows.len() == 3));
}
