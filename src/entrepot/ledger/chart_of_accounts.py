"""The chart of accounts: the name of every account there can be. A debit is positive, a credit negative."""


def receivable_accrued(customer: str) -> str:
    """What a customer has used and not been invoiced for; exact. Debited hour by hour, credited by the invoice."""
    return f"assets:receivable:accrued:{customer}"


def receivable_invoiced(customer: str) -> str:
    """What a customer owes on issued invoices; whole minor units, so that it agrees with the paper."""
    return f"assets:receivable:invoiced:{customer}"


def income_usage(model: str) -> str:
    """What usage of a model has earned; exact. Credited hour by hour."""
    return f"income:usage:{model}"


def income_reservations() -> str:
    """What reserved units have earned, used or not; exact. Credited hour by hour."""
    return "income:reservations"


def income_subscriptions() -> str:
    """What seats have earned."""
    return "income:subscriptions"


def income_caps() -> str:
    """What was not billed because it was above a cap (debit)."""
    return "income:caps"


def income_grants() -> str:
    """What granted credit has paid (debit)."""
    return "income:grants"


def income_breakage() -> str:
    """What was bought as credit and expired unused."""
    return "income:breakage"


def credit_held(customer: str) -> str:
    """What a customer has bought as credit and not used yet; whole minor units."""
    return f"liabilities:credit:{customer}"


def income_rounding() -> str:
    """What rounding invoice lines to minor units has won (credit) or lost (debit)."""
    return "income:rounding"


def income_minimums() -> str:
    """What contracts' minimums have brought beyond usage."""
    return "income:minimums"


def tax_payable(name: str) -> str:
    """What was collected of a tax and is owed to whoever levies it; whole minor units."""
    return f"liabilities:tax:{name}"


def income_discounts() -> str:
    """What commitments have taken off accrued usage (debit), or overage put on (credit)."""
    return "income:discounts"


def income_shortfalls() -> str:
    """What customers had committed to and did not use."""
    return "income:shortfalls"


def commitment_held(customer: str) -> str:
    """What a customer has paid for ahead and not drawn yet."""
    return f"liabilities:commitment:{customer}"


def exchange_clearing() -> str:
    """Where an amount leaves one currency and enters another; what the two are worth apart is nobody's income yet."""
    return "equity:exchange"


def cost_of_partner(partner: str, kind: str) -> str:
    """What agreements of a kind with a partner have cost."""
    return f"expenses:partner:{partner}:{kind}"


def income_from_partner(partner: str, kind: str) -> str:
    """What agreements of a kind with a partner have earned."""
    return f"income:partner:{partner}:{kind}"


def partner_payable(partner: str) -> str:
    """What a partner is owed by its statements."""
    return f"liabilities:partner:{partner}"


def partner_receivable(partner: str) -> str:
    """What a partner owes by its statements."""
    return f"assets:partner:{partner}"


def income_credits(model: str) -> str:
    """What credit notes have taken from the income of a model (debit), or of what has none: minimums, purchases."""
    return f"income:credits:{model}" if model else "income:credits"
