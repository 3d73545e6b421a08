$ProgressPreference='SilentlyContinue'
$ErrorActionPreference='Stop'
[Console]::OutputEncoding=New-Object Text.UTF8Encoding $false
$d=@{}
$e=New-Object Collections.ArrayList
function Q($c,$p,$f){$a=@{ClassName="Win32_$c";Property=$p.Split(',');OperationTimeoutSec=10};if($f){$a.Filter=$f};Get-CimInstance @a}
function S($n,$b){try{$d[$n]=&$b}catch{[void]$e.Add("${n}: "+$_.Exception.Message)}}
S 'cpu' {$o=@{};Q 'PerfFormattedData_PerfOS_Processor' 'Name,PercentProcessorTime'|%{$k=$_.Name;if($k -eq '_Total'){$k='total'};$o[$k]=[double]$_.PercentProcessorTime};$o}
S 'memory' {$m=Q 'OperatingSystem' 'TotalVisibleMemorySize,FreePhysicalMemory';$t=[long]$m.TotalVisibleMemorySize*1024;$f=[long]$m.FreePhysicalMemory*1024;@{total=$t;free=$f;used=$t-$f}}
S 'disk' {$v=@{};[long]$s=0;[long]$f=0;Q 'LogicalDisk' 'DeviceID,Size,FreeSpace' 'DriveType=3'|?{$_.Size}|%{$v[$_.DeviceID]=@{total=[long]$_.Size;free=[long]$_.FreeSpace};$s+=$_.Size;$f+=$_.FreeSpace};@{total=@{size=$s;free=$f};drives=$v}}
S 'network' {$i=@{};[long]$r=0;[long]$t=0;Q 'PerfFormattedData_Tcpip_NetworkInterface' 'Name,BytesReceivedPersec,BytesSentPersec'|%{$x=[long]$_.BytesReceivedPersec;$y=[long]$_.BytesSentPersec;$i[$_.Name]=@{rx=$x;tx=$y};$r+=$x;$t+=$y};@{total=@{rx=$r;tx=$t};interfaces=$i}}
S 'system' {$w=Q 'OperatingSystem' 'CSName,Caption,LastBootUpTime,LocalDateTime,NumberOfProcesses';@{hostname=$w.CSName;os=$w.Caption;uptime_seconds=[long]($w.LocalDateTime-$w.LastBootUpTime).TotalSeconds;processes=[int]$w.NumberOfProcesses}}
@{data=$d;errors=@($e)}|ConvertTo-Json -Compress -Depth 6
