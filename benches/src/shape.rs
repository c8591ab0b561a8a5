//! What a transaction is like: the same for everybody who is compared.

/// What a transaction is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) branches: usize,
    /// Whether its branches start together; otherwise each begins when the one before has returned.
    pub(crate) together: bool,
    /// Bytes of each branch's request.
    pub(crate) payload: usize,
    /// Whether it is cancelled, after all tries have returned.
    pub(crate) cancelled: bool,
}

impl Shape {
    /// Two branches, one after the other, with 64 bytes each.
    pub(crate) const SEQUENTIAL: Self = Self { branches: 2, together: false, payload: 64, cancelled: false };
    /// Two branches that start together.
    pub(crate) const TOGETHER: Self = Self { together: true, ..Self::SEQUENTIAL };

    /// The name of its floor, by the number of its script calls.
    pub(crate) fn floor(self) -> String {
        let calls = if self.together { 3 } else { self.branches + 2 };
        format!("floor{calls}{}", self.details())
    }

    /// As a word of the table.
    pub(crate) fn name(self) -> String {
        let order = if self.together { "together" } else { "sequential" };
        format!("{order}{}", self.details())
    }

    /// What is unlike the usual two branches of 64 bytes.
    fn details(self) -> String {
        let mut text = String::new();
        match self.branches {
            1 => text.push_str(", 1 branch"),
            2 => {}
            more => text.push_str(&format!(", {more} branches")),
        }
        if self.payload != Self::SEQUENTIAL.payload {
            text.push_str(&format!(", {} B", self.payload));
        }
        if self.cancelled {
            text.push_str(", cancelled");
        }
        text
    }

    pub(crate) fn decided(self) -> &'static str {
        if self.cancelled { "cancelling" } else { "confirming" }
    }

    /// A request of so many bytes of JSON; `null` for 0, and at least what its fields need otherwise.
    pub(crate) fn request_json(payload: usize) -> String {
        if payload == 0 {
            return "null".to_owned();
        }
        let order = order(payload);
        format!(r#"{{"sku":"apple","amount":3,"order":"{order}"}}"#)
    }
}

/// The field that fills a request up to so many bytes of JSON.
pub(crate) fn order(payload: usize) -> String {
    const REST: usize = r#"{"sku":"apple","amount":3,"order":""}"#.len();
    "0123456789abcdef".chars().cycle().take(payload.saturating_sub(REST)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_size_that_is_said() {
        for payload in [64, 256, 16 * 1024] {
            assert_eq!(Shape::request_json(payload).len(), payload);
        }
    }

    #[test]
    fn floors_are_named_by_their_calls() {
        assert_eq!(Shape::SEQUENTIAL.floor(), "floor4");
        assert_eq!(Shape::TOGETHER.floor(), "floor3");
        let many = Shape { branches: 16, payload: 0, ..Shape::SEQUENTIAL };
        assert_eq!(many.floor(), "floor18, 16 branches, 0 B");
    }
}
