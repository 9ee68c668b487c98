package pass

// Witness is what was observed in a pass's workspace, by name. The names are
// those of [Variation.Name].
type Witness map[string]string

// Variation is one thing that must not matter to the bytes.
type Variation struct {
	Name string `json:"name"`
	// Varied tells whether it differed between the passes.
	Varied bool `json:"varied"`
	// A and B are what was observed.
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
	// Reason says why it was not varied.
	Reason string `json:"reason,omitempty"`
}

// The things that pass B varies where the host allows it.
const (
	sourcePath   = "source path"
	gorootPath   = "GOROOT path"
	modulePath   = "module cache path"
	cachePath    = "build cache path"
	homePath     = "home folder"
	tempPath     = "temporary folder"
	userName     = "user"
	groupName    = "group"
	hostName     = "host name"
	domainName   = "domain name"
	timeZone     = "time zone"
	locale       = "locale"
	umask        = "umask"
	processors   = "processors"
	gomaxprocs   = "GOMAXPROCS"
	parallel     = "parallel actions"
	grouping     = "packages per go command"
	addressSpace = "address space layout"
	kernel       = "kernel release"
	environment  = "environment"
	pathOrder    = "PATH order"
	fileOrder    = "file creation order"
	clock        = "clock"
)

// names lists all variations in the order in which they are reported.
var names = []string{
	sourcePath, gorootPath, modulePath, cachePath, homePath, tempPath,
	userName, groupName, hostName, domainName, timeZone, locale, umask,
	processors, gomaxprocs, parallel, grouping, addressSpace, kernel,
	environment, pathOrder, fileOrder, clock,
}

// Variations compares the witnesses of the two passes. reason gives, by name,
// why the host could not vary something.
func Variations(a, b Witness, reason map[string]string) []Variation {
	list := make([]Variation, 0, len(names))
	for _, name := range names {
		v := Variation{Name: name, A: a[name], B: b[name]}
		// The time passes between the passes, but by how much is chance.
		v.Varied = name != clock && v.A != v.B && v.A != "" && v.B != ""
		if !v.Varied {
			v.Reason = reason[name]
			if v.Reason == "" {
				v.Reason = "was the same in both passes"
			}
		}
		list = append(list, v)
	}
	return list
}
