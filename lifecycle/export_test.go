package lifecycle

// CheckRules panics if two of the rules answer one question, as the package
// does at its start.
func CheckRules(rules []Rule) { newTable(rules) }
