//! What a database says, said once.

/// The words of the database itself: sqlx puts its own around them, and has them as its source as well, so that they come
/// twice wherever an error is printed with its causes.
pub(crate) fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_databases_answer_is_said_in_words_of_sqlx() {
        assert_eq!(plain(&sqlx::Error::PoolClosed), sqlx::Error::PoolClosed.to_string());
    }
}
