//! Whole lists, from a coordinator that answers with a page at a time.

use common::{
    api::{MAX_ROWS, page::Page},
    code::Code,
    problem::Problem,
};

/// Most rows of a list that a command fetches: far more than an org has of anything but jobs.
pub(super) const MAX_LISTED: u32 = 200_000;
/// Most pages of one list. A page has fewer rows than it may where they are large, or where most are not for the member.
const MAX_PAGES: usize = 20_000;

/// Returns all rows. `ask` is given the key after which a page begins.
pub(super) async fn all<T, K: Clone + PartialEq>(
    ask: impl AsyncFn(Option<K>) -> Result<Page<T, K>, Problem>,
) -> Result<Vec<T>, Problem> {
    let list = first(MAX_LISTED, async |after, _| ask(after).await).await?;
    match list.next {
        None => Ok(list.rows),
        Some(_) => {
            let why = format!("it has more than {MAX_LISTED} rows");
            let problem = Problem::new(Code::Limit, "the list is too long to fetch", why);
            Err(problem.help("Remove what nobody needs any more."))
        }
    }
}

/// Returns so many rows from the first on, and where what follows begins. `ask` is given the key after which a page
/// begins, and how many rows are still wanted.
pub(super) async fn first<T, K: Clone + PartialEq>(
    most: u32,
    ask: impl AsyncFn(Option<K>, u32) -> Result<Page<T, K>, Problem>,
) -> Result<Page<T, K>, Problem> {
    let mut list = Page::default();
    let mut missing = most;
    for _ in 0..MAX_PAGES {
        let page = ask(list.next.clone(), missing.min(MAX_ROWS)).await?;
        if page.next.is_some() && page.next == list.next {
            break;
        }
        let came = u32::try_from(page.rows.len()).unwrap_or(u32::MAX);
        missing = missing.saturating_sub(came);
        list.rows.extend(page.rows);
        list.next = page.next;
        if missing == 0 || list.next.is_none() {
            return Ok(list);
        }
    }
    let why = format!("it did not end after {} rows", list.rows.len());
    Err(Problem::new(
        Code::Protocol,
        "the coordinator's list makes no sense",
        why,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a page begins, and whether the one before had rows.
    type Key = (u32, bool);

    /// Answers from a list of twenty numbers, in pages of three, every second of them empty.
    async fn numbers(after: Option<Key>, most: u32) -> Result<Page<u32, Key>, Problem> {
        let (begin, is_empty) = after.unwrap_or((0, false));
        let end = if is_empty {
            begin
        } else {
            20.min(begin + most.min(3))
        };
        Ok(Page {
            rows: (begin..end).collect(),
            next: (end < 20).then_some((end, !is_empty)),
        })
    }

    #[tokio::test]
    async fn pages_are_put_together_until_there_is_enough() {
        let list = first(5, numbers).await.unwrap();
        assert_eq!(
            (list.rows, list.next),
            (vec![0, 1, 2, 3, 4], Some((5, true)))
        );
        let whole = all(async |after| numbers(after, MAX_ROWS).await).await;
        assert_eq!(whole, Ok(Vec::from_iter(0..20)));
        let nothing = all(async |_: Option<Key>| Ok(Page::<u32, Key>::default())).await;
        assert_eq!(nothing, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_list_without_end_is_no_list() {
        let stuck = all(async |_| {
            Ok(Page {
                rows: vec![1],
                next: Some(7),
            })
        })
        .await;
        assert_eq!(stuck.unwrap_err().code, Code::Protocol);
        let endless = async |after: Option<u32>| {
            let next = after.map_or(0, |after| after + 1);
            Ok(Page {
                rows: vec![0; 1000],
                next: Some(next),
            })
        };
        assert_eq!(all(endless).await.unwrap_err().code, Code::Limit);
        let empty = async |after: Option<u32>| {
            let next = after.map_or(0, |after| after + 1);
            Ok(Page::<u32, u32> {
                rows: vec![],
                next: Some(next),
            })
        };
        assert_eq!(all(empty).await.unwrap_err().code, Code::Protocol);
    }
}
