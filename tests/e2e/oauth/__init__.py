"""What the suites about callers share: gateways in every mode, issuers, clients, people with browsers, and forged proofs."""
