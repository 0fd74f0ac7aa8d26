//! Transactions: operations with labels, and their results (RFC 7047 section 4.1.3).

use serde_json::Value as Json;
use uuid::Uuid;

use crate::column_type::{ColumnType, TypeMismatch};
use crate::operation::{Condition, Function, Mutation, Mutator, Operation};
use crate::row::{Row, RowError, check_column, in_one_line, uuid_of};
use crate::schema::DatabaseSchema;
use crate::server_error::ServerError;

/// Operations that a server executes all or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    operations: Vec<Operation>,
    /// The labels of the operations. Those at the end that have none may be missing.
    labels: Vec<Option<String>>,
}

/// The results of a transaction that was executed, one for each operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The results in the order of the operations.
    pub results: Vec<OperationResult>,
}

/// The result of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationResult {
    /// The uuid of an inserted row.
    Inserted(Uuid),
    /// The rows of a `select`.
    Rows(Vec<Row>),
    /// The number of rows of an `update`, a `mutate` or a `delete`.
    Count(u64),
    /// The operation has no result.
    Done,
}

/// An operation, as errors name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationName {
    /// The index of the operation in the transaction, from 0.
    pub index: usize,
    /// The operation's name in the protocol.
    pub operation: &'static str,
    /// The table.
    pub table: Option<String>,
    /// The uuid of the row, if the operation names one.
    pub uuid: Option<Uuid>,
    /// The label that the caller gave the operation.
    pub label: Option<String>,
}

/// An operation that does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} does not fit the schema")]
pub struct Misfit {
    /// The operation.
    pub operation: OperationName,
    /// The mistake.
    #[source]
    pub mistake: RowError,
}

/// The failure that a reply reports.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// An operation failed.
    Operation(Box<OperationName>, Box<ServerError>),
    /// All operations succeeded, and the commit failed.
    Commit(Box<ServerError>),
    /// The reply is wrong. The transaction was most likely executed.
    Wrong(String),
}

impl std::fmt::Display for OperationName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "operation {} ({}", self.index, self.operation)?;
        if let Some(table) = &self.table {
            write!(formatter, " in {table}")?;
        }
        if let Some(uuid) = &self.uuid {
            write!(formatter, ", row {uuid}")?;
        }
        if let Some(label) = &self.label {
            write!(formatter, ", {label}")?;
        }
        formatter.write_str(")")
    }
}

impl Transaction {
    /// Returns a transaction without operations.
    pub fn new() -> Transaction {
        Transaction::default()
    }

    /// Returns the transaction with one more operation.
    #[must_use]
    pub fn with(mut self, operation: Operation) -> Transaction {
        self.push(operation);
        self
    }

    /// Adds an operation, and returns its index.
    pub fn push(&mut self, operation: Operation) -> usize {
        self.operations.push(operation);
        self.operations.len() - 1
    }

    /// Adds an operation with a label, which errors name; returns its index.
    pub fn push_labelled(&mut self, label: impl Into<String>, operation: Operation) -> usize {
        self.labels.resize(self.operations.len(), None);
        self.labels.push(Some(label.into()));
        self.push(operation)
    }

    /// Returns the operations.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Returns true if the transaction changes nothing: all of its operations read, or it has an `abort`.
    pub fn is_read(&self) -> bool {
        self.operations.contains(&Operation::Abort) || self.operations.iter().all(Operation::is_read)
    }

    /// Returns the names of an operation, for an error.
    pub fn name_of(&self, index: usize) -> Option<OperationName> {
        let operation = self.operations.get(index)?;
        Some(OperationName {
            index,
            operation: operation.name(),
            table: operation.table().map(str::to_owned),
            uuid: operation.row_uuid(),
            label: self.labels.get(index).cloned().flatten(),
        })
    }

    /// Checks the operations against a schema: tables, columns, types and constraints. A server checks the same; this
    /// finds mistakes before anything is sent.
    ///
    /// # Errors
    /// Returns the first operation that does not fit.
    pub fn check(&self, schema: &DatabaseSchema) -> Result<(), Box<Misfit>> {
        for (index, operation) in self.operations.iter().enumerate() {
            if let Err(mistake) = check(operation, schema)
                && let Some(operation) = self.name_of(index)
            {
                return Err(Box::new(Misfit { operation, mistake }));
            }
        }
        Ok(())
    }

    pub(crate) fn has_selects(&self) -> bool {
        self.operations.iter().any(|operation| matches!(operation, Operation::Select { .. }))
    }

    /// Returns the parameters of the request.
    pub(crate) fn encode(&self, database: &str) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = vec![b'['];
        serde_json::to_writer(&mut bytes, database)?;
        for operation in &self.operations {
            bytes.push(b',');
            serde_json::to_writer(&mut bytes, operation)?;
        }
        bytes.push(b']');
        Ok(bytes)
    }

    /// Reads the reply of a server. Without a schema, the rows of a `select` can't be read.
    pub(crate) fn read_reply(
        &self,
        reply: Json,
        schema: Option<&DatabaseSchema>,
    ) -> Result<Outcome, Failure> {
        let wrong = |problem: String| Failure::Wrong(problem);
        let Json::Array(results) = reply else {
            return Err(wrong("the result of the transaction is no array".to_owned()));
        };
        let total = self.operations.len();
        if results.len() > total + 1 {
            return Err(wrong(format!("{} results for {total} operations", results.len())));
        }
        for (index, result) in results.iter().enumerate() {
            if result.get("error").is_none() {
                continue;
            }
            let error = ServerError::read(result)
                .ok_or_else(|| wrong(format!("the error of operation {index} has no words")))?;
            return Err(match self.name_of(index) {
                Some(name) => Failure::Operation(Box::new(name), Box::new(error)),
                None => Failure::Commit(Box::new(error)),
            });
        }
        if results.len() != total {
            return Err(wrong(format!("{} results for {total} operations", results.len())));
        }
        let read = |(index, (operation, result)): (usize, (&Operation, Json))| {
            read_result(operation, result, schema)
                .map_err(|problem| wrong(format!("the result of operation {index} is wrong: {problem}")))
        };
        let results = self.operations.iter().zip(results).enumerate().map(read);
        Ok(Outcome { results: results.collect::<Result<_, _>>()? })
    }
}

impl From<Vec<Operation>> for Transaction {
    fn from(operations: Vec<Operation>) -> Transaction {
        Transaction { operations, labels: Vec::new() }
    }
}

impl Extend<Operation> for Transaction {
    fn extend<I: IntoIterator<Item = Operation>>(&mut self, operations: I) {
        self.operations.extend(operations);
    }
}

impl Outcome {
    /// Returns the rows of the operation with this index; none unless it is a `select`.
    pub fn rows(&self, index: usize) -> &[Row] {
        match self.results.get(index) {
            Some(OperationResult::Rows(rows)) => rows,
            _ => &[],
        }
    }

    /// Returns the number of rows of the operation with this index; none unless it is an `update`, a `mutate` or a `delete`.
    pub fn count(&self, index: usize) -> Option<u64> {
        match self.results.get(index) {
            Some(OperationResult::Count(count)) => Some(*count),
            _ => None,
        }
    }

    /// Returns the uuid of the row that the operation with this index inserted; none unless it is an `insert`.
    pub fn inserted(&self, index: usize) -> Option<Uuid> {
        match self.results.get(index) {
            Some(OperationResult::Inserted(uuid)) => Some(*uuid),
            _ => None,
        }
    }
}

fn read_result(
    operation: &Operation,
    mut result: Json,
    schema: Option<&DatabaseSchema>,
) -> Result<OperationResult, String> {
    match operation {
        Operation::Insert { .. } => {
            let uuid = result.get("uuid").and_then(uuid_of).ok_or("an insertion without a uuid")?;
            Ok(OperationResult::Inserted(uuid))
        }
        Operation::Select { table, .. } => {
            let known = schema.and_then(|schema| schema.table(table));
            let known = known.ok_or_else(|| RowError::Table { table: table.clone() }.to_string())?;
            let Some(Json::Array(rows)) = result.get_mut("rows").map(Json::take) else {
                return Err("a select without rows".to_owned());
            };
            let read = |row| Row::read(table, known, row).map_err(|error| in_one_line(&error));
            Ok(OperationResult::Rows(rows.into_iter().map(read).collect::<Result<_, _>>()?))
        }
        Operation::Update { .. } | Operation::Mutate { .. } | Operation::Delete { .. } => {
            let count = result.get("count").and_then(Json::as_u64).ok_or("a change without a count")?;
            Ok(OperationResult::Count(count))
        }
        _ => Ok(OperationResult::Done),
    }
}

fn check(operation: &Operation, schema: &DatabaseSchema) -> Result<(), RowError> {
    let Some(name) = operation.table() else { return Ok(()) };
    let table = schema.table(name).ok_or_else(|| RowError::Table { table: name.to_owned() })?;
    let known = |column: &String| check_column(name, table, column, |_| Ok(()));
    for condition in operation.conditions() {
        if let Condition::Column(column, function, value) = condition {
            check_column(name, table, column, |kind| match function {
                Function::Equal | Function::NotEqual => kind.check(value),
                _ => kind.elements().check(value),
            })?;
        }
    }
    match operation {
        Operation::Insert { row, .. } | Operation::Update { row, .. } => row.check(name, table),
        Operation::Select { columns, .. } => columns.iter().flatten().try_for_each(known),
        Operation::Wait { columns, rows, .. } => {
            columns.iter().try_for_each(known)?;
            rows.iter().try_for_each(|row| row.check(name, table))
        }
        Operation::Mutate { mutations, .. } => mutations.iter().try_for_each(|mutation| {
            check_column(name, table, &mutation.column, |kind| check_mutation(kind, mutation))
        }),
        _ => Ok(()),
    }
}

/// Checks the argument of a mutation against the type of its column.
fn check_mutation(kind: &ColumnType, mutation: &Mutation) -> Result<(), TypeMismatch> {
    match mutation.mutator {
        Mutator::Insert => kind.elements().check(&mutation.value),
        // Of a map, a set names the keys.
        Mutator::Delete if mutation.value.as_set().is_some() => {
            ColumnType::set(kind.key.atom).check(&mutation.value)
        }
        Mutator::Delete => kind.elements().check(&mutation.value),
        // The result has to meet the constraints, not the argument.
        _ => ColumnType::from(kind.key.atom).check(&mutation.value),
    }
}
