package service

import "testing"

func TestNegotiate(t *testing.T) {
	t.Parallel()
	const plain, oracle, none = "application/json", "application/vnd.oracle.resource+json", ""
	for _, tt := range []struct{ accept, want string }{
		{"", plain},
		{" ", plain},
		{"*/*", plain},
		{"application/*", plain},
		{plain, plain},
		{oracle, oracle},
		{"APPLICATION/JSON", plain},
		{oracle + ";type=singular", oracle},
		{plain + "; charset=utf-8", plain},
		{plain + ", " + oracle, plain},
		{oracle + ", " + plain, plain},
		{oracle + ",*/*;q=0.9", oracle},
		{oracle + ";q=0.5, " + plain + ";q=0.4", oracle},
		{plain + ";q=0, */*", oracle},
		{plain + ";q=0, " + oracle + ";q=0, */*", none},
		{"application/*;q=0.2, " + oracle + ";q=0.3, */*;q=0.9", oracle},
		{"application/*;q=0, */*", none},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", plain}, // a browser
		{plain + ";q=0.1, " + plain + ";q=0.9, " + oracle + ";q=0.5", plain},
		{plain + ";q=1.0;x=y", plain},
		{"text/html", none},
		{"application/problem+json", none},
		{"application/jsonp", none},
		{"*/json", none},
		{"*", none},
		{plain + ";q=0", none},
		{plain + ";q=0.000", none},
		{plain + ";q=2", none},
		{plain + ";q=-1", none},
		{plain + ";q=NaN", none},
		{plain + ";q=one", none},
		{plain + ";q=", none},
		{";;, /, " + oracle, oracle},
		{",,,", none},
	} {
		if got := negotiate(tt.accept); got != tt.want {
			t.Errorf("negotiate(%q) = %q, want %q", tt.accept, got, tt.want)
		}
	}
}

func FuzzNegotiate(f *testing.F) {
	f.Add("application/json;q=0.5, */*")
	f.Fuzz(func(t *testing.T, accept string) {
		got := negotiate(accept)
		if got != "" && got != offered[0] && got != offered[1] {
			t.Errorf("negotiate(%q) = %q", accept, got)
		}
		if negotiate(accept+",application/vnd.oracle.resource+json") == "" && got != "" {
			t.Errorf("negotiate(%q) = %q, but nothing with one type more", accept, got)
		}
	})
}
