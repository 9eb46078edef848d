//! A sorted map whose values lie in boxes. New keys of jobs and attempts come after all others, and the nodes of a tree
//! that only grows at its end stay half empty: with the values in them, half of their memory would hold nothing.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, btree_map},
    ops::{Index, RangeBounds},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Boxed<K, V>(BTreeMap<K, Box<V>>);

impl<K, V> Default for Boxed<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// All of a [`Boxed`], in the order of its keys.
#[derive(Debug)]
pub(crate) struct Iter<'a, K, V>(btree_map::Iter<'a, K, Box<V>>);

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value.as_ref()))
    }
}

impl<K: Ord, V> Boxed<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key).map(Box::as_mut)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.0.insert(key, Box::new(value));
        before.map(|before| *before)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key).map(|value| *value)
    }

    pub(crate) fn range<Q: Ord + ?Sized>(
        &self,
        keys: impl RangeBounds<Q>,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.0.range(keys).map(|(key, value)| (key, value.as_ref()))
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        Iter(self.0.iter())
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> btree_map::Keys<'_, K, Box<V>> {
        self.0.keys()
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.values().map(Box::as_ref)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a, K: Ord, V> IntoIterator for &'a Boxed<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord, V> Index<&K> for Boxed<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        &self.0[key]
    }
}
