//! The columns of a row.

use serde::{Serialize, Serializer};

/// Values by the names of their columns, in the order of the names. Most rows have a few columns only, and a network has hundreds of
/// thousands of rows: so they are in one piece of memory, which is no larger than they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns<V>(Vec<(&'static str, V)>);

impl<V> Default for Columns<V> {
    fn default() -> Self {
        Columns(Vec::new())
    }
}

impl<V> Columns<V> {
    /// Sets the value of a column.
    pub fn insert(&mut self, name: &'static str, value: V) {
        match self.position(name) {
            Ok(at) => {
                if let Some((_, known)) = self.0.get_mut(at) {
                    *known = value;
                }
            }
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (name, value));
            }
        }
    }

    /// Removes a column, and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<V> {
        self.position(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Returns the value of a column.
    pub fn get(&self, name: &str) -> Option<&V> {
        // A search by halves costs more than it saves in so few.
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Returns true if there is such a column.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the columns in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &V)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// Returns true if there is no column.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (*known).cmp(name))
    }
}

impl<V> FromIterator<(&'static str, V)> for Columns<V> {
    /// Collects columns. Of several with one name, the last one counts.
    fn from_iter<I: IntoIterator<Item = (&'static str, V)>>(columns: I) -> Self {
        let columns: Vec<_> = columns.into_iter().collect();
        if columns.is_sorted_by(|(one, _), (other, _)| one < other) {
            return Columns(columns);
        }
        let mut sorted = Columns::default();
        columns.into_iter().for_each(|(name, value)| sorted.insert(name, value));
        sorted
    }
}

impl<V: Serialize> Serialize for Columns<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
