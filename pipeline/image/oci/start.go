package oci

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/twicebuild/twice/matrix/platform"
	"github.com/twicebuild/twice/pipeline/fault"
)

// What must be true of a file so that Linux can start it. The binaries were just
// built and compared, so they are not read as hostile input, as package inspect
// reads binaries.

// elfMachines says what ELF calls the architectures of Go's ports for Linux.
var elfMachines = map[string]struct {
	machine elf.Machine
	class   elf.Class
	order   binary.ByteOrder
}{
	"386":      {elf.EM_386, elf.ELFCLASS32, binary.LittleEndian},
	"amd64":    {elf.EM_X86_64, elf.ELFCLASS64, binary.LittleEndian},
	"arm":      {elf.EM_ARM, elf.ELFCLASS32, binary.LittleEndian},
	"arm64":    {elf.EM_AARCH64, elf.ELFCLASS64, binary.LittleEndian},
	"loong64":  {elf.EM_LOONGARCH, elf.ELFCLASS64, binary.LittleEndian},
	"mips":     {elf.EM_MIPS, elf.ELFCLASS32, binary.BigEndian},
	"mipsle":   {elf.EM_MIPS, elf.ELFCLASS32, binary.LittleEndian},
	"mips64":   {elf.EM_MIPS, elf.ELFCLASS64, binary.BigEndian},
	"mips64le": {elf.EM_MIPS, elf.ELFCLASS64, binary.LittleEndian},
	"ppc64":    {elf.EM_PPC64, elf.ELFCLASS64, binary.BigEndian},
	"ppc64le":  {elf.EM_PPC64, elf.ELFCLASS64, binary.LittleEndian},
	"riscv64":  {elf.EM_RISCV, elf.ELFCLASS64, binary.LittleEndian},
	"s390x":    {elf.EM_S390, elf.ELFCLASS64, binary.BigEndian},
}

// startNeeds says what a file needs of the image in which it is started.
type startNeeds struct {
	script bool   // it begins with #!
	loader string // the path of its interpreter; "" if it starts by itself
	// libraries are the names of the shared libraries that it is linked with.
	libraries []string
	header    elf.FileHeader // of an ELF file
}

// maxLoader bounds the path of an interpreter, in bytes. Linux has PATH_MAX.
const maxLoader = 4096

// readStartNeeds reads from a file what it needs to start.
func readStartNeeds(c Content) (startNeeds, error) {
	r, err := c.Open()
	if err != nil {
		return startNeeds{}, err
	}
	defer r.Close()

	// The kernel reads no more than 256 bytes of a script, either.
	head := make([]byte, 256)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return startNeeds{}, err
	}

	if line, script := bytes.CutPrefix(head[:n], []byte("#!")); script {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		words := strings.Fields(string(line))
		if len(words) == 0 {
			return startNeeds{}, errors.New("a script without an interpreter")
		}
		return startNeeds{script: true, loader: words[0]}, nil
	}

	f, err := elf.NewFile(r)
	if err != nil {
		return startNeeds{}, fmt.Errorf("neither a binary for linux nor a script: %w", err)
	}
	defer f.Close()

	want := startNeeds{header: f.FileHeader}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(p.Open(), maxLoader))
		if err != nil {
			return startNeeds{}, fmt.Errorf("its interpreter: %w", err)
		}
		want.loader = strings.TrimRight(string(text), "\x00")
		if want.loader == "" {
			return startNeeds{}, errors.New("its interpreter has no name")
		}
	}

	if want.libraries, err = f.ImportedLibraries(); err != nil {
		return startNeeds{}, fmt.Errorf("its libraries: %w", err)
	}

	return want, nil
}

// checkStart returns an error unless what n describes can start in an image for p
// with the files of t.
func (n startNeeds) checkStart(p platform.Platform, t *tree) error {
	if !n.script {
		m, known := elfMachines[p.Arch]
		switch {
		case p.OS != "linux" || !known:
			return fmt.Errorf("it is not known what binaries for %s look like", p)
		case n.header.OSABI != elf.ELFOSABI_NONE && n.header.OSABI != elf.ELFOSABI_LINUX:
			return fmt.Errorf("a binary for %s, not for linux", n.header.OSABI)
		case n.header.Machine != m.machine || n.header.Class != m.class || n.header.ByteOrder != m.order:
			return fmt.Errorf("a binary for %s (%s, %s), not for %s", n.header.Machine, n.header.Class, n.header.ByteOrder, p.Arch)
		case n.header.Type != elf.ET_EXEC && n.header.Type != elf.ET_DYN:
			return fmt.Errorf("not an executable (%s)", n.header.Type)
		}
	}

	if n.loader != "" {
		file, _, err := t.Find(path.Join("/", n.loader))
		if err == nil && file.IsFolder() {
			err = fs.ErrNotExist
		}
		switch {
		case err == nil:
		case n.script:
			return fault.WithRemedy(fault.Usage(fmt.Errorf("a script for %s, which the image does not have", n.loader)), "take a base that has it, or begin the image with a binary")
		default:
			return fault.WithRemedy(fault.Usage(fmt.Errorf("its loader is %s, which the image does not have", n.loader)),
				`build it with pie = "auto" and cgo = false, or take a base that has the loader`)
		}
	}

	// The loader has its own list of folders, so any folder of the image will do.
	for _, lib := range n.libraries {
		if !hasFile(t.Root, path.Base(lib)) {
			return fault.WithRemedy(fault.Usage(fmt.Errorf("it is linked with %s, which the image does not have", lib)), "take a base that has it, or link it statically")
		}
	}

	return nil
}
