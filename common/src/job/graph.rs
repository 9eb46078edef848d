//! Graphs of jobs: which of several that are submitted together waits for which, and in what order they come.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{name::Name, status::Condition};

/// Most jobs of one graph.
pub const MAX_GRAPH_JOBS: usize = 1000;

/// What has to become of another job of the same graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Need {
    /// Its place in the graph, from 0.
    pub place: u32,
    pub condition: Condition,
}

/// A job of a graph, as far as the order goes.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    pub name: &'a Name,
    pub needs: &'a [Need],
}

/// Returns the places in an order in which each comes after all that it needs; else as they stand.
///
/// # Errors
/// There are too many or none, two have a name, one needs what is not there, or they go in a circle.
pub fn order(nodes: &[Node<'_>]) -> Result<Vec<usize>, InvalidGraph> {
    if nodes.is_empty() {
        return Err(InvalidGraph::Empty);
    }
    if nodes.len() > MAX_GRAPH_JOBS {
        return Err(InvalidGraph::TooMany { count: nodes.len() });
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = nodes.iter().find(|node| !names.insert(node.name)) {
        return Err(InvalidGraph::Twice(twice.name.clone()));
    }
    let places = |node: &Node<'_>| -> Result<BTreeSet<usize>, InvalidGraph> {
        let places = node.needs.iter().map(|need| need.place as usize);
        let places: BTreeSet<usize> = places.collect();
        match places.last() {
            Some(last) if *last >= nodes.len() => Err(InvalidGraph::NoSuchPlace {
                name: node.name.clone(),
            }),
            _ => Ok(places),
        }
    };
    let needs = nodes.iter().map(places);
    let needs: Vec<BTreeSet<usize>> = needs.collect::<Result<_, _>>()?;
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (place, needs) in needs.iter().enumerate() {
        for needed in needs {
            needed_by[*needed].push(place);
        }
    }
    let mut lacking: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    let ready = (0..nodes.len()).filter(|place| lacking[*place] == 0);
    let mut ready: BTreeSet<usize> = ready.collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(place) = ready.pop_first() {
        order.push(place);
        for waiting in &needed_by[place] {
            lacking[*waiting] -= 1;
            if lacking[*waiting] == 0 {
                ready.insert(*waiting);
            }
        }
    }
    if order.len() == nodes.len() {
        return Ok(order);
    }
    let left: BTreeSet<usize> = (0..nodes.len())
        .filter(|place| lacking[*place] > 0)
        .collect();
    let circle = circle(&needs, &left);
    let names = circle.into_iter().map(|place| nodes[place].name.clone());
    Err(InvalidGraph::Circle(Circle(names.collect())))
}

/// Returns a circle among these, each of which needs another one of them; its first is its last again.
fn circle(needs: &[BTreeSet<usize>], left: &BTreeSet<usize>) -> Vec<usize> {
    let mut way: Vec<usize> = Vec::new();
    let mut next = left.first().copied();
    // No place comes twice, so the way ends.
    while let Some(place) = next {
        if let Some(begin) = way.iter().position(|before| *before == place) {
            let mut circle = way.split_off(begin);
            circle.push(place);
            return circle;
        }
        way.push(place);
        next = needs[place]
            .iter()
            .find(|needed| left.contains(needed))
            .copied();
    }
    way
}

/// Jobs that wait for one another in a circle; the first comes last again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle(Vec<Name>);

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Most that are named.
        const MOST: usize = 20;
        for (place, name) in self.0.iter().enumerate() {
            match place {
                0 => write!(f, "{name}")?,
                MOST.. if place + 1 < self.0.len() => {}
                MOST.. => write!(f, " -> … -> {name}")?,
                _ => write!(f, " -> {name}")?,
            }
        }
        Ok(())
    }
}

/// Why jobs are no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGraph {
    #[error("it has no jobs")]
    Empty,
    #[error("it has {count} jobs, {MAX_GRAPH_JOBS} are possible")]
    TooMany { count: usize },
    #[error("two of its jobs are called {0}")]
    Twice(Name),
    #[error("{name} waits for a job that is not in it")]
    NoSuchPlace { name: Name },
    #[error("its jobs wait for one another in a circle: {0}")]
    Circle(Circle),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ordered(names: &[&str], needs: &[&[u32]]) -> Result<Vec<usize>, String> {
        let names: Vec<Name> = names.iter().map(|name| name.parse().unwrap()).collect();
        let need = |place: &u32| Need {
            place: *place,
            condition: Condition::Ended,
        };
        let needs = needs.iter().map(|needs| needs.iter().map(need).collect());
        let needs: Vec<Vec<Need>> = needs.collect();
        let nodes = names.iter().zip(&needs);
        let nodes: Vec<Node<'_>> = nodes.map(|(name, needs)| Node { name, needs }).collect();
        order(&nodes).map_err(|error| error.to_string())
    }

    #[test]
    fn each_comes_after_what_it_needs_and_else_as_it_stands() {
        let names = ["report", "train", "prepare", "clean"];
        let order = ordered(&names, &[&[1], &[2, 2], &[], &[]]).unwrap();
        assert_eq!(order, [2, 1, 0, 3]);
    }

    #[test]
    fn a_circle_is_named_in_order() {
        let circle = "its jobs wait for one another in a circle: ";
        assert_eq!(ordered(&["a"], &[&[0]]), Err(format!("{circle}a -> a")));
        assert_eq!(
            ordered(&["a", "b"], &[&[1], &[0]]),
            Err(format!("{circle}a -> b -> a"))
        );
        // What leads there, and what waits for it, is not part of it.
        assert_eq!(
            ordered(
                &["x", "a", "b", "c", "y"],
                &[&[1], &[2], &[3, 4], &[1], &[]]
            ),
            Err(format!("{circle}a -> b -> c -> a"))
        );
        let names: Vec<String> = (0..30).map(|number| format!("n{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let needs: Vec<Vec<u32>> = (0..30).map(|number| vec![(number + 1) % 30]).collect();
        let needs: Vec<&[u32]> = needs.iter().map(Vec::as_slice).collect();
        let long = ordered(&names, &needs).unwrap_err();
        assert!(long.ends_with("n18 -> n19 -> … -> n0"), "{long}");
    }

    #[test]
    fn what_is_no_graph_says_why() {
        assert_eq!(ordered(&[], &[]), Err("it has no jobs".to_owned()));
        assert_eq!(
            ordered(&["a", "a"], &[&[], &[]]),
            Err("two of its jobs are called a".to_owned())
        );
        for place in [2, u32::MAX] {
            let error = ordered(&["a", "b"], &[&[place], &[]]).unwrap_err();
            assert_eq!(error, "a waits for a job that is not in it");
        }
        let many = vec!["a"; MAX_GRAPH_JOBS + 1];
        let none: Vec<&[u32]> = vec![&[]; MAX_GRAPH_JOBS + 1];
        assert_eq!(
            ordered(&many, &none),
            Err("it has 1001 jobs, 1000 are possible".to_owned())
        );
    }

    proptest! {
        #[test]
        fn an_order_is_found_unless_there_is_a_circle(
            needs in prop::collection::vec(prop::collection::vec(0u32..12, 0..4), 12),
        ) {
            let names: Vec<String> = (0..12).map(|number| format!("n{number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let slices: Vec<&[u32]> = needs.iter().map(Vec::as_slice).collect();
            match ordered(&names, &slices) {
                Ok(order) => {
                    let at = |place: u32| order.iter().position(|one| *one == place as usize);
                    for (place, needs) in needs.iter().enumerate() {
                        let own = order.iter().position(|one| *one == place);
                        prop_assert!(needs.iter().all(|needed| at(*needed) < own));
                    }
                }
                Err(text) => {
                    let circle = text.rsplit_once(": ").unwrap().1;
                    let names: Vec<&str> = circle.split(" -> ").collect();
                    prop_assert_eq!(names.first(), names.last());
                    for two in names.windows(2) {
                        let [from, to] = [two[0], two[1]].map(|name| name[1..].parse::<u32>().unwrap());
                        prop_assert!(needs[from as usize].contains(&to), "{} -> {}", from, to);
                    }
                }
            }
        }
    }
}
