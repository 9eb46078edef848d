//! Members' own machines, which are their own jobs' first.

use common::id::UserId;

use super::Pass;
use crate::{
    schedule::{candidates::Candidates, choose::Scope, turns::Line},
    state::queue::Queue,
};

impl<'a> Pass<'a> {
    /// Gives a member's own machines to the member's jobs before anybody else gets them.
    pub(super) fn own_first(
        &mut self,
        queue: &'a Queue,
        user: UserId,
        most: usize,
        candidates: &mut Candidates<'a>,
    ) {
        let Some(own) = self.pool.own.get(&user) else {
            return;
        };
        for level in queue.levels.values() {
            let lines = level.lines_of(user);
            let mut lines: Vec<Line<'_>> = lines.map(|(_, waiting)| Line::new(waiting)).collect();
            while self.placements.len() < most {
                // By age alone: nobody else is in this.
                let heads = lines.iter_mut().filter_map(|line| {
                    let head = line.first(|class| {
                        let class = candidates.class(class);
                        class.is_some_and(|class| own.may_fit(&class.request, class.data))
                    });
                    Some((head?, line))
                });
                let Some((head, line)) = heads.min_by_key(|(head, _)| *head) else {
                    break;
                };
                if !self.serve(user, head, line, candidates, Scope::Own) {
                    return;
                }
            }
        }
    }
}
