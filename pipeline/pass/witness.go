package pass

// Witness says for each factor what one pass observed in its workspace, or gave to its commands.
type Witness map[Factor]string

// Variation is a [Factor] with what the two passes saw of it.
type Variation struct {
	Name Factor `json:"name"`
	// Varied reports whether it differed between the passes.
	Varied bool `json:"varied"`
	// A and B are what the witnesses of the passes say.
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
	// Reason says why it was not varied.
	Reason string `json:"reason,omitempty"`
}

// Factor names a circumstance of a build that must not matter to the bytes, such as the host
// name. A [Variation] says of a factor whether it differed.
type Factor string

// The factors. Pass B varies those that the host lets it.
const (
	sourcePath   Factor = "source path"
	gorootPath   Factor = "GOROOT path"
	modulePath   Factor = "module cache path"
	cachePath    Factor = "build cache path"
	homePath     Factor = "home folder"
	tempPath     Factor = "temporary folder"
	userName     Factor = "user"
	groupName    Factor = "group"
	hostName     Factor = "host name"
	domainName   Factor = "domain name"
	timeZone     Factor = "time zone"
	locale       Factor = "locale"
	umask        Factor = "umask"
	processors   Factor = "processors"
	gomaxprocs   Factor = "GOMAXPROCS"
	parallel     Factor = "parallel actions"
	grouping     Factor = "packages per go command"
	addressSpace Factor = "address space layout"
	kernel       Factor = "kernel release"
	environment  Factor = "environment"
	pathOrder    Factor = "PATH order"
	fileOrder    Factor = "file creation order"
	clock        Factor = "clock"
)

// need is what a host has to offer for a factor to be varied.
type need int

const (
	needNothing    need = iota
	needNamespaces      // namespaces of Linux
	needConfined        // processes that confine themselves: namespaces or Landlock
	needOwnClock        // which no host offers
)

// factors has all of them, in the order in which they are reported.
var factors = []struct {
	name Factor
	need need
}{
	{sourcePath, needNothing},
	{gorootPath, needNothing},
	{modulePath, needNothing},
	{cachePath, needNothing},
	{homePath, needNothing},
	{tempPath, needNothing},
	{userName, needNamespaces},
	{groupName, needNamespaces},
	{hostName, needNamespaces},
	{domainName, needNamespaces},
	{timeZone, needNothing},
	{locale, needNothing},
	{umask, needConfined},
	{processors, needConfined},
	{gomaxprocs, needNothing},
	{parallel, needNothing},
	{grouping, needNothing},
	{addressSpace, needConfined},
	{kernel, needConfined},
	{environment, needNothing},
	{pathOrder, needNothing},
	{fileOrder, needNothing},
	{clock, needOwnClock},
}

// Variations compares the witnesses of the two passes. reasons says
// why the host could not vary some of the factors.
func Variations(a, b Witness, reasons map[Factor]string) []Variation {
	list := make([]Variation, 0, len(factors))
	for _, f := range factors {
		name := f.name
		v := Variation{Name: name, A: a[name], B: b[name]}
		// The time passes between the passes, but by how much is chance.
		v.Varied = f.need != needOwnClock && v.A != v.B && v.A != "" && v.B != ""
		if !v.Varied {
			v.Reason = reasons[name]
			if v.Reason == "" {
				v.Reason = "was the same in both passes"
			}
		}
		list = append(list, v)
	}
	return list
}
