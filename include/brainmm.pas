{ BrainMM for FreePascal: its memory manager, and the calls of its API under their Delphi names.

  The first unit of the program (before cthreads, too):

    program Example;
    uses BrainMM, cthreads, SysUtils;

  From then on GetMem, New, strings, dynamic arrays and objects live in BrainMM's heap, the one that malloc has. It stays
  until the program has ended: what other units give back in their finalization is given back to it. The library is linked:
  fpc -FU. -Fu<folder of this file> -Fl<folder of libbrainmm.so> -k-rpath=<the same> (-FU: where compiled units go, else that is
  beside their sources). Defines: BRAINMM_DEBUG links libbrainmm_debug, BRAINMM_SECURE libbrainmm_secure, BRAINMM_NO_LINKLIB none
  (it is named by -k-l… then); the compiler notices a change of them only with -B. Whichever was linked,
  `brainmm run -- ./program`, or LD_PRELOAD, puts libbrainmm_debug in its place.

  Errors are those of the RTL: 203 (EOutOfMemory in programs with SysUtils), of which ReturnNilIfGrowHeapFails makes nil, and
  204 (EInvalidPointer) for what is no such block. A block given to a call that fails stays as it was. All calls are
  thread-safe. They are documented where the library is: brainmm/brainmm.h, and `man 3 brainmm`. }
unit BrainMM;

{$mode objfpc}{$H+}
{$packenum 1}{$packset 1}
{$modeswitch out+}

interface

{ ---- the API of the Delphi library ---- }

type
  { 16 shl Ord(Align) bytes. }
  TMemoryAlign = (ma16Bytes, ma32Bytes, ma64Bytes, ma128Bytes, ma256Bytes, ma512Bytes, ma1024Bytes, ma2048Bytes);
  PMemoryAlign = ^TMemoryAlign;

  { 4096 shl (2 * Ord(BlockSize)) bytes. }
  TMemoryBlockSize = (BLOCK_4K, BLOCK_16K, BLOCK_64K, BLOCK_256K, BLOCK_1MB, BLOCK_4MB, BLOCK_16MB, BLOCK_64MB,
    BLOCK_256MB);
  PMemoryBlockSize = ^TMemoryBlockSize;

  MemoryBlock = type Pointer;
  PMemoryBlock = ^MemoryBlock;
  MemoryPages = type Pointer;
  PMemoryPages = ^MemoryPages;

  TMemoryAccessRight = (marRead, marWrite, marExecute);
  PMemoryAccessRight = ^TMemoryAccessRight;
  TMemoryAccessRights = set of TMemoryAccessRight;
  PMemoryAccessRights = ^TMemoryAccessRights;

  { Slots of up to 128 bytes; up to 32 KiB; runs of pages, up to 32 MiB; mappings of their own; GetMemoryPages;
    GetMemoryBlock; TJITHeap. }
  TMemoryKind = (mkSmall, mkMedium, mkBig, mkLarge, mkPages, mkBlock, mkJIT);
  PMemoryKind = ^TMemoryKind;

  TMemoryOptions = packed record
    Kind: TMemoryKind;
    Align: TMemoryAlign;         { ma2048Bytes also for more }
    BlockSize: TMemoryBlockSize; { of mkBlock; else BLOCK_4K, of no meaning }
    AccessRights: TMemoryAccessRights; { none also where the system does not say }
    ThreadId: NativeUInt; { of the system; 0: in nobody's heap }
    Size: NativeUInt;     { as MemSize }
    { What the Delphi library did not say: }
    Start: Pointer;       { of the block that P lies in }
    Occupied: NativeUInt; { bytes, with all that stands around the block }
    Exact: Boolean;       { else another thread may have freed the block just now }
  end;
  PMemoryOptions = ^TMemoryOptions;

{ A block at a multiple of Align; given back by FreeMem. ReallocMem and RegetMem keep the alignment until the size is 0. }
procedure GetMemAligned(var P: Pointer; Align: TMemoryAlign; Size: NativeInt);
{ ReallocMem that need not keep what the block holds. NewSize 0 frees it. }
procedure RegetMem(var P: Pointer; NewSize: NativeInt);

{ A block of BlockSize at a multiple of it: NativeUInt(address) and not (size - 1) is its start. }
procedure GetMemoryBlock(var Block: MemoryBlock; BlockSize: TMemoryBlockSize);
procedure FreeMemoryBlock(Block: MemoryBlock);

{ Count pages of 4 KiB. Reallocated they grow to both sides where that is free, and keep what they hold; regotten, not. }
procedure GetMemoryPages(var Pages: MemoryPages; Count: NativeInt);
procedure RegetMemoryPages(var Pages: MemoryPages; NewCount: NativeInt);
procedure ReallocMemoryPages(var Pages: MemoryPages; NewCount: NativeInt);
procedure FreeMemoryPages(Pages: MemoryPages);

{ Of any memory at a multiple of 4 KiB. What cannot be so, is error 204; where no memory is, nothing can be done to it: []. }
procedure ChangeMemoryAccessRights(Pages: MemoryPages; Count: NativeInt; Rights: TMemoryAccessRights);
function GetMemoryAccessRights(Pages: MemoryPages): TMemoryAccessRights;

{ What is known of the live block that P lies in. False: P is none of ours, which is no error, whatever P is. }
function GetMemoryOptions(const P: Pointer; out Options: TMemoryOptions): Boolean;

{ Gives back what the calling thread holds free. True: there was something. HeapMinimize: all threads do, within their next
  few thousand calls. }
function ThreadHeapMinimize: Boolean;
function HeapMinimize: Boolean;

{ B16Count times 16 bytes between addresses that are multiples of 16; they may overlap. }
procedure MoveB16Aligned(const Source; var Dest; const B16Count: NativeInt);

type
  { Memory for code that is made while the program runs. FreeMemory of what is none of it is error 204. What Sync… does may
    be done by several threads at once, the rest by one at a time. Where the system demands it memory is never writable
    and executable at one address: code is written at P, Publish(P, Size) makes it ready, and Code(P) is where it runs. }
  IJITHeap = interface
    ['{5A8E9F0C-6D0B-4C8E-9B55-2F3D6B1E7A41}']
    procedure Clear; stdcall;
    function GetMemory(Size: NativeInt): Pointer; stdcall;
    procedure FreeMemory(P: Pointer); stdcall;
    function SyncGetMemory(Size: NativeInt): Pointer; stdcall;
    procedure SyncFreeMemory(P: Pointer); stdcall;
  end;

  TJITHeap = class(TInterfacedObject, IJITHeap)
  private
    FHeap: Pointer;
  public
    constructor Create;
    destructor Destroy; override;
    procedure Clear; stdcall;
    function GetMemory(Size: NativeInt): Pointer; stdcall;
    procedure FreeMemory(P: Pointer); stdcall;
    function SyncGetMemory(Size: NativeInt): Pointer; stdcall;
    procedure SyncFreeMemory(P: Pointer); stdcall;
    function Code(P: Pointer): Pointer;
    procedure Publish(P: Pointer; Size: NativeInt);
  end;

  { IMalloc of COM, by sizes of the machine's width. TMalloc.Create as _IMalloc. Without memory: nil. GetSize(nil): -1.
    DidAlloc: 1 if pv is the start of a live block, 0 if not, -1 for nil. }
  _IMalloc = interface
    ['{00000002-0000-0000-C000-000000000046}']
    function Alloc(cb: NativeInt): Pointer; stdcall;
    function Realloc(pv: Pointer; cb: NativeInt): Pointer; stdcall;
    procedure Free(pv: Pointer); stdcall;
    function GetSize(pv: Pointer): NativeInt; stdcall;
    function DidAlloc(pv: Pointer): Integer; stdcall;
    procedure HeapMinimize; stdcall;
  end;
  IMalloc = _IMalloc;

  TMalloc = class(TInterfacedObject, _IMalloc)
    function Alloc(cb: NativeInt): Pointer; stdcall;
    function Realloc(pv: Pointer; cb: NativeInt): Pointer; stdcall;
    procedure Free(pv: Pointer); reintroduce; stdcall;
    function GetSize(pv: Pointer): NativeInt; stdcall;
    function DidAlloc(pv: Pointer): Integer; stdcall;
    procedure HeapMinimize; stdcall;
  end;

var
  { Looked at when the program ends: blocks that were not freed are listed on standard error. libbrainmm_debug says who
    allocated them. }
  ReportMemoryLeaksOnShutdown: Boolean = False;
  { For programs that set it; no thread of BrainMM's sleeps. }
  NeverSleepOnMMThreadContention: Boolean = False;

{ Leaks that are meant to be: P itself; Count blocks of Size bytes; what was allocated with a function on the stack whose name
  matches (*, ?, [abc]), as reports have it: TCat.Create. False: not done, as in libbrainmm of functions. Push and pop: all that
  the calling thread allocates between them, and still has then. }
function RegisterExpectedMemoryLeak(P: Pointer): Boolean;
function RegisterExpectedMemoryLeak(Size: NativeInt; Count: NativeInt): Boolean; overload;
function RegisterExpectedMemoryLeak(const FunctionPattern: AnsiString): Boolean; overload;
function UnregisterExpectedMemoryLeak(P: Pointer): Boolean;
function UnregisterExpectedMemoryLeak(Size: NativeInt; Count: NativeInt): Boolean; overload;
function UnregisterExpectedMemoryLeak(const FunctionPattern: AnsiString): Boolean; overload;
procedure PushExpectedMemoryLeaks;
function PopExpectedMemoryLeaks: Boolean;

{ False: another manager was there before, or blocks of one were in use; that was said on standard error, and all is as if
  this unit were not there, but for the calls above. }
function IsBrainMMInstalled: Boolean;

{ ---- the same in C ---- }

const
  BMM_PAGE_BYTES = 4096;
  BMM_RIGHT_NONE = 0;
  BMM_RIGHT_READ = 1;
  BMM_RIGHT_WRITE = 2;
  BMM_RIGHT_EXECUTE = 4;
  BMM_RIGHT_UNKNOWN = 8;
  BMM_MEMORY_SMALL = 1;
  BMM_MEMORY_MEDIUM = 2;
  BMM_MEMORY_BIG = 3;
  BMM_MEMORY_LARGE = 4;
  BMM_MEMORY_PAGES = 5;
  BMM_MEMORY_BLOCK = 6;
  BMM_MEMORY_JIT = 7;
  BMM_STATS_CLASSES = 72;
  BMM_JIT_DUAL_VIEWS = 1;

type
  Pbmm_memory_options = ^bmm_memory_options_t;
  {$push}{$packrecords C}
  bmm_memory_options_t = record
    start: Pointer;
    size, block_size, align: NativeUInt;
    kind, rights, thread_id: LongWord;
    exact: Boolean;
  end;

  Pbmm_imalloc = ^bmm_imalloc_t;
  bmm_imalloc_t = record
    alloc: function(size: NativeUInt): Pointer; cdecl;
    realloc: function(p: Pointer; size: NativeUInt): Pointer; cdecl;
    free: procedure(p: Pointer); cdecl;
    get_size: function(p: Pointer): NativeUInt; cdecl;
    did_alloc: function(p: Pointer): LongInt; cdecl;
    heap_minimize: procedure; cdecl;
  end;

  bmm_stats_line = record
    block_bytes, live_count, live_bytes, free_bytes, peak_bytes: NativeUInt;
    purged_bytes: QWord;
  end;
  Pbmm_stats = ^bmm_stats_t;
  bmm_stats_t = record
    mapped_bytes, resident_bytes, kept_bytes: NativeUInt;
    purged_bytes: QWord;
    kinds: array[0..BMM_MEMORY_JIT] of bmm_stats_line;
    classes: array[0..BMM_STATS_CLASSES - 1] of bmm_stats_line;
  end;
  {$pop}

  bmm_visit = function(block: Pbmm_memory_options; context: Pointer): Boolean; cdecl;

function bmm_malloc(size: NativeUInt): Pointer; cdecl; external;
function bmm_calloc(count, size: NativeUInt): Pointer; cdecl; external;
function bmm_realloc(p: Pointer; size: NativeUInt): Pointer; cdecl; external;
procedure bmm_free(p: Pointer); cdecl; external;
function bmm_usable_size(p: Pointer): NativeUInt; cdecl; external;
function bmm_malloc_aligned(align, size: NativeUInt): Pointer; cdecl; external;
function bmm_reget(p: Pointer; size: NativeUInt): Pointer; cdecl; external;
function bmm_thread_heap_minimize: Boolean; cdecl; external;
function bmm_heap_minimize: Boolean; cdecl; external;
function bmm_pages_get(count: NativeUInt): Pointer; cdecl; external;
function bmm_pages_realloc(pages: Pointer; count: NativeUInt): Pointer; cdecl; external;
function bmm_pages_reget(pages: Pointer; count: NativeUInt): Pointer; cdecl; external;
function bmm_pages_free(pages: Pointer): Boolean; cdecl; external;
function bmm_pages_protect(pages: Pointer; count: NativeUInt; rights: LongWord): Boolean; cdecl; external;
function bmm_pages_rights(p: Pointer): LongInt; cdecl; external;
function bmm_memory_block_get(size: NativeUInt): Pointer; cdecl; external;
function bmm_memory_block_free(block: Pointer): Boolean; cdecl; external;
function bmm_memory_options(p: Pointer; options: Pbmm_memory_options): Boolean; cdecl; external;
procedure bmm_report_leaks_on_shutdown(on_: Boolean); cdecl; external;

procedure bmm_heap_walk(visit: bmm_visit; context: Pointer); cdecl; external;
procedure bmm_stats(stats: Pbmm_stats); cdecl; external;
function bmm_stats_json(buffer: PAnsiChar; capacity: NativeUInt): NativeUInt; cdecl; external;
procedure bmm_move16(dest, source: Pointer; count16: NativeUInt); cdecl; external;
function bmm_imalloc: Pbmm_imalloc; cdecl; external;

function bmm_heap_create: Pointer; cdecl; external;
function bmm_heap_malloc(heap: Pointer; size: NativeUInt): Pointer; cdecl; external;
function bmm_heap_calloc(heap: Pointer; count, size: NativeUInt): Pointer; cdecl; external;
function bmm_heap_malloc_aligned(heap: Pointer; align, size: NativeUInt): Pointer; cdecl; external;
function bmm_heap_owns(heap, p: Pointer): Boolean; cdecl; external;
procedure bmm_heap_clear(heap: Pointer); cdecl; external;
procedure bmm_heap_destroy(heap: Pointer); cdecl; external;

function bmm_expect_leak(p: Pointer): Boolean; cdecl; external;
function bmm_unexpect_leak(p: Pointer): Boolean; cdecl; external;
function bmm_expect_leaks(size, count: NativeUInt): Boolean; cdecl; external;
function bmm_unexpect_leaks(size, count: NativeUInt): Boolean; cdecl; external;
function bmm_expect_leaks_of(pattern: PAnsiChar): Boolean; cdecl; external;
function bmm_unexpect_leaks_of(pattern: PAnsiChar): Boolean; cdecl; external;
procedure bmm_expect_push; cdecl; external;
function bmm_expect_pop: Boolean; cdecl; external;

function bmm_jit_create(flags: LongWord): Pointer; cdecl; external;
function bmm_jit_has_dual_views(heap: Pointer): Boolean; cdecl; external;
function bmm_jit_get(heap: Pointer; size: NativeUInt): Pointer; cdecl; external;
function bmm_jit_sync_get(heap: Pointer; size: NativeUInt): Pointer; cdecl; external;
function bmm_jit_code(heap, writable: Pointer): Pointer; cdecl; external;
function bmm_jit_data(heap, code: Pointer): Pointer; cdecl; external;
function bmm_jit_publish(heap, writable: Pointer; size: NativeUInt): Boolean; cdecl; external;
function bmm_jit_free(heap, p: Pointer): Boolean; cdecl; external;
function bmm_jit_sync_free(heap, p: Pointer): Boolean; cdecl; external;
procedure bmm_jit_clear(heap: Pointer); cdecl; external;
procedure bmm_jit_destroy(heap: Pointer); cdecl; external;

implementation

{$ifndef BRAINMM_NO_LINKLIB}
  {$if defined(BRAINMM_DEBUG)}
    {$linklib brainmm_debug}
  {$elseif defined(BRAINMM_SECURE)}
    {$linklib brainmm_secure}
  {$else}
    {$linklib brainmm}
  {$endif}
{$endif}
{$linklib c} { last, so that its malloc is ours; and so that the program ends by exit(), which writes the report }

const
  ERROR_OUT_OF_MEMORY = 203;
  ERROR_INVALID_POINTER = 204;

procedure RaiseError(Number: LongInt); external name 'FPC_HANDLEERROR';

{ Sizes of less than 0 become such that nobody has. }
function NeedMemory(P: Pointer): Pointer; inline;
begin
  if (P = nil) and not ReturnNilIfGrowHeapFails then
    RaiseError(ERROR_OUT_OF_MEMORY);
  Result := P;
end;

procedure NeedDone(IsDone: Boolean); inline;
begin
  if not IsDone then
    RaiseError(ERROR_INVALID_POINTER);
end;

{ ---- the memory manager ---- }

function ManagerGetMem(Size: PtrUInt): Pointer;
begin
  Result := NeedMemory(bmm_malloc(Size));
end;

function ManagerAllocMem(Size: PtrUInt): Pointer;
begin
  Result := NeedMemory(bmm_calloc(1, Size));
end;

function ManagerMemSize(P: Pointer): PtrUInt;
begin
  Result := bmm_usable_size(P);
end;

{ What the RTL's own says it gave back. Nobody but programs asks for it, so the debugger's wrong frees are left to bmm_free. }
function ManagerFreeMem(P: Pointer): PtrUInt;
begin
  if P = nil then
    Exit(0);
  Result := bmm_usable_size(P);
  bmm_free(P);
end;

function ManagerFreeMemSize(P: Pointer; Size: PtrUInt): PtrUInt;
begin
  Result := ManagerFreeMem(P);
end;

function ManagerReallocMem(var P: Pointer; Size: PtrUInt): Pointer;
var
  Moved: Pointer;
begin
  if Size = 0 then
  begin
    bmm_free(P);
    P := nil;
    Exit(nil);
  end;
  Moved := NeedMemory(bmm_realloc(P, Size));
  if Moved <> nil then
    P := Moved;
  Result := Moved;
end;

type
  {$push}{$packrecords C}
  TMallinfo2 = record
    arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost: NativeUInt;
  end;
  {$pop}

function mallinfo2: TMallinfo2; cdecl; weakexternal; { not in every libc }

function ManagerGetFPCHeapStatus: TFPCHeapStatus;
var
  Info: TMallinfo2;
begin
  FillChar(Result, SizeOf(Result), 0);
  if Pointer(@mallinfo2) = nil then
    Exit;
  Info := mallinfo2;
  Result.CurrHeapSize := Info.arena + Info.hblkhd;
  Result.CurrHeapUsed := Info.uordblks + Info.hblkhd;
  Result.CurrHeapFree := Info.fordblks;
  Result.MaxHeapSize := Result.CurrHeapSize; { as far as is known }
  Result.MaxHeapUsed := Result.CurrHeapUsed;
end;

function ManagerGetHeapStatus: THeapStatus;
var
  Status: TFPCHeapStatus;

  function Bounded(Value: PtrUInt): Cardinal;
  begin
    if Value > High(Cardinal) then
      Value := High(Cardinal);
    Result := Value;
  end;

begin
  Status := ManagerGetFPCHeapStatus;
  FillChar(Result, SizeOf(Result), 0);
  Result.TotalAddrSpace := Bounded(Status.CurrHeapSize);
  Result.TotalCommitted := Result.TotalAddrSpace;
  Result.TotalAllocated := Bounded(Status.CurrHeapUsed);
  Result.TotalFree := Bounded(Status.CurrHeapFree);
end;

const
  Manager: TMemoryManager = (
    NeedLock: False;
    GetMem: @ManagerGetMem;
    FreeMem: @ManagerFreeMem;
    FreeMemSize: @ManagerFreeMemSize;
    AllocMem: @ManagerAllocMem;
    ReallocMem: @ManagerReallocMem;
    MemSize: @ManagerMemSize;
    InitThread: nil;
    DoneThread: nil;
    RelocateHeap: nil;
    GetHeapStatus: @ManagerGetHeapStatus;
    GetFPCHeapStatus: @ManagerGetFPCHeapStatus);

var
  IsInstalled: Boolean = False;

function IsBrainMMInstalled: Boolean;
begin
  Result := IsInstalled;
end;

{ ---- aligned, reget ---- }

procedure GetMemAligned(var P: Pointer; Align: TMemoryAlign; Size: NativeInt);
begin
  P := NeedMemory(bmm_malloc_aligned(NativeUInt(16) shl Ord(Align), NativeUInt(Size)));
end;

procedure RegetMem(var P: Pointer; NewSize: NativeInt);
var
  Moved: Pointer;
begin
  if NewSize = 0 then
  begin
    bmm_free(P);
    P := nil;
    Exit;
  end;
  Moved := NeedMemory(bmm_reget(P, NativeUInt(NewSize)));
  if Moved <> nil then
    P := Moved;
end;

{ ---- memory blocks and pages ---- }

procedure GetMemoryBlock(var Block: MemoryBlock; BlockSize: TMemoryBlockSize);
begin
  Block := NeedMemory(bmm_memory_block_get(NativeUInt(4096) shl (2 * Ord(BlockSize))));
end;

procedure FreeMemoryBlock(Block: MemoryBlock);
begin
  NeedDone(bmm_memory_block_free(Block));
end;

procedure GetMemoryPages(var Pages: MemoryPages; Count: NativeInt);
begin
  if Count = 0 then
    Pages := nil
  else
    Pages := NeedMemory(bmm_pages_get(NativeUInt(Count)));
end;

{ nil of the library means nothing to those who asked for none. }
procedure Moved(var Pages: MemoryPages; NewPages: Pointer; NewCount: NativeInt);
begin
  if NewCount = 0 then
    Pages := nil
  else if NeedMemory(NewPages) <> nil then
    Pages := NewPages;
end;

procedure RegetMemoryPages(var Pages: MemoryPages; NewCount: NativeInt);
begin
  if NewCount = 0 then
    FreeMemoryPages(Pages);
  if NewCount <> 0 then
    Moved(Pages, bmm_pages_reget(Pages, NativeUInt(NewCount)), NewCount)
  else
    Pages := nil;
end;

procedure ReallocMemoryPages(var Pages: MemoryPages; NewCount: NativeInt);
begin
  if NewCount = 0 then
    FreeMemoryPages(Pages);
  if NewCount <> 0 then
    Moved(Pages, bmm_pages_realloc(Pages, NativeUInt(NewCount)), NewCount)
  else
    Pages := nil;
end;

procedure FreeMemoryPages(Pages: MemoryPages);
begin
  NeedDone(bmm_pages_free(Pages));
end;

procedure ChangeMemoryAccessRights(Pages: MemoryPages; Count: NativeInt; Rights: TMemoryAccessRights);
begin
  NeedDone(bmm_pages_protect(Pages, NativeUInt(Count), Byte(Rights))); { a set's bits are those of BMM_RIGHT_ }
end;

function GetMemoryAccessRights(Pages: MemoryPages): TMemoryAccessRights;
var
  Rights: LongInt;
begin
  Rights := bmm_pages_rights(Pages);
  if Rights < 0 then
    Rights := 0;
  Result := TMemoryAccessRights(Byte(Rights));
end;

function Log2(Value: NativeUInt): Integer; inline;
begin
  Result := BsrQWord(Value);
end;

function GetMemoryOptions(const P: Pointer; out Options: TMemoryOptions): Boolean;
var
  Known: bmm_memory_options_t;
  Align: Integer;
begin
  FillChar(Options, SizeOf(Options), 0);
  Result := bmm_memory_options(P, @Known);
  if not Result then
    Exit;
  Options.Kind := TMemoryKind(Known.kind - 1);
  Align := Log2(Known.align) - 4;
  if Align > Ord(High(TMemoryAlign)) then
    Align := Ord(High(TMemoryAlign));
  Options.Align := TMemoryAlign(Align);
  if Options.Kind = mkBlock then
    Options.BlockSize := TMemoryBlockSize((Log2(Known.size) - 12) div 2);
  Options.AccessRights := TMemoryAccessRights(Byte(Known.rights and 7));
  Options.ThreadId := Known.thread_id;
  Options.Size := Known.size;
  Options.Start := Known.start;
  Options.Occupied := Known.block_size;
  Options.Exact := Known.exact;
end;

function ThreadHeapMinimize: Boolean;
begin
  Result := bmm_thread_heap_minimize;
end;

function HeapMinimize: Boolean;
begin
  Result := bmm_heap_minimize;
end;

procedure MoveB16Aligned(const Source; var Dest; const B16Count: NativeInt);
begin
  bmm_move16(@Dest, @Source, NativeUInt(B16Count));
end;

{ ---- TJITHeap ---- }

constructor TJITHeap.Create;
begin
  inherited Create;
  FHeap := bmm_jit_create(0);
  if FHeap = nil then
    RaiseError(ERROR_OUT_OF_MEMORY);
end;

destructor TJITHeap.Destroy;
begin
  bmm_jit_destroy(FHeap);
  inherited Destroy;
end;

procedure TJITHeap.Clear; stdcall;
begin
  bmm_jit_clear(FHeap);
end;

function TJITHeap.GetMemory(Size: NativeInt): Pointer; stdcall;
begin
  Result := NeedMemory(bmm_jit_get(FHeap, NativeUInt(Size)));
end;

procedure TJITHeap.FreeMemory(P: Pointer); stdcall;
begin
  NeedDone((P = nil) or bmm_jit_free(FHeap, P));
end;

function TJITHeap.SyncGetMemory(Size: NativeInt): Pointer; stdcall;
begin
  Result := NeedMemory(bmm_jit_sync_get(FHeap, NativeUInt(Size)));
end;

procedure TJITHeap.SyncFreeMemory(P: Pointer); stdcall;
begin
  NeedDone((P = nil) or bmm_jit_sync_free(FHeap, P));
end;

function TJITHeap.Code(P: Pointer): Pointer;
begin
  Result := bmm_jit_code(FHeap, P);
end;

procedure TJITHeap.Publish(P: Pointer; Size: NativeInt);
begin
  NeedDone(bmm_jit_publish(FHeap, P, NativeUInt(Size)));
end;

{ ---- TMalloc ---- }

function TMalloc.Alloc(cb: NativeInt): Pointer; stdcall;
begin
  Result := bmm_malloc(NativeUInt(cb));
end;

function TMalloc.Realloc(pv: Pointer; cb: NativeInt): Pointer; stdcall;
begin
  Result := bmm_realloc(pv, NativeUInt(cb));
end;

procedure TMalloc.Free(pv: Pointer); stdcall;
begin
  bmm_free(pv);
end;

function TMalloc.GetSize(pv: Pointer): NativeInt; stdcall;
begin
  if pv = nil then
    Exit(-1);
  Result := NativeInt(bmm_usable_size(pv));
end;

function TMalloc.DidAlloc(pv: Pointer): Integer; stdcall;
var
  Options: TMemoryOptions;
begin
  if pv = nil then
    Exit(-1);
  Result := Ord(GetMemoryOptions(pv, Options) and (Options.Start = pv));
end;

procedure TMalloc.HeapMinimize; stdcall;
begin
  bmm_heap_minimize;
end;

{ ---- expected leaks ---- }

function RegisterExpectedMemoryLeak(P: Pointer): Boolean;
begin
  Result := bmm_expect_leak(P);
end;

function RegisterExpectedMemoryLeak(Size: NativeInt; Count: NativeInt): Boolean;
begin
  Result := bmm_expect_leaks(NativeUInt(Size), NativeUInt(Count));
end;

function RegisterExpectedMemoryLeak(const FunctionPattern: AnsiString): Boolean;
begin
  Result := bmm_expect_leaks_of(PAnsiChar(FunctionPattern));
end;

function UnregisterExpectedMemoryLeak(P: Pointer): Boolean;
begin
  Result := bmm_unexpect_leak(P);
end;

function UnregisterExpectedMemoryLeak(Size: NativeInt; Count: NativeInt): Boolean;
begin
  Result := bmm_unexpect_leaks(NativeUInt(Size), NativeUInt(Count));
end;

function UnregisterExpectedMemoryLeak(const FunctionPattern: AnsiString): Boolean;
begin
  Result := bmm_unexpect_leaks_of(PAnsiChar(FunctionPattern));
end;

procedure PushExpectedMemoryLeaks;
begin
  bmm_expect_push;
end;

function PopExpectedMemoryLeaks: Boolean;
begin
  Result := bmm_expect_pop;
end;

{ ---- installing ---- }

function write(fd: LongInt; text: PAnsiChar; bytes: NativeUInt): NativeInt; cdecl; external;

procedure Install;
const
  SET_BEFORE = 'brainmm: not installed: another memory manager was installed before the unit BrainMM'#10;
  USED_BEFORE = 'brainmm: not installed: memory was allocated before the unit BrainMM, which is to be the first unit'#10;
begin
  { Blocks of two managers cannot be told apart by those who free them. }
  if IsMemoryManagerSet then
    write(2, SET_BEFORE, Length(SET_BEFORE))
  else if GetFPCHeapStatus.CurrHeapUsed <> 0 then
    write(2, USED_BEFORE, Length(USED_BEFORE))
  else
  begin
    SetMemoryManager(Manager);
    IsInstalled := True;
  end;
end;

initialization
  Install;

finalization
  { The last of all, for the first unit. The manager stays: what is global in System is given back after this. }
  if ReportMemoryLeaksOnShutdown then
    bmm_report_leaks_on_shutdown(True);
end.
